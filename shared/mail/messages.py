"""The four mails, as text and HTML, and their form on the wire, which every adapter sends.

Mails are transactional: without a link to unsubscribe or tracking, and with `Auto-Submitted`, so that no absence note
answers them. Links lead to `APP_URL` alone, with the token in the fragment, which browsers send to no server.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from html import escape

from shared.mail.sender import Mail, MailFailed

SERVICE = "Agent Talk"

_RECIPIENT = re.compile(r"[^\s\x00-\x20\x7f,;:<>()\[\]\\\"@]+@[a-z0-9.-]+")
"""One address. A comma, a bracket, a quote or a line's end could name a second recipient."""


def verify_mail(to: str, link: str) -> Mail:
    """Return the mail by whose link an owner confirms the address."""
    return _mail(
        "verify",
        to,
        "Confirm your e-mail address",
        (
            "Somebody opened an account at Agent Talk with this address. If it was you, confirm the address:",
            link,
            "The link works for 24 hours, and once.",
            "If it was not you, do nothing. To take the account over, ask for a new password on the sign-in page.",
        ),
    )


def reset_mail(to: str, link: str) -> Mail:
    """Return the mail by whose link an owner chooses a new password."""
    return _mail(
        "reset",
        to,
        "Choose a new password",
        (
            "Somebody asked for a new password for your account at Agent Talk. If it was you, choose one:",
            link,
            "The link works for one hour, and once. The new password ends all sessions.",
            "If it was not you, do nothing: your password stays as it is.",
        ),
    )


def password_changed_mail(to: str, app_url: str, *, revoked_keys: int = 0) -> Mail:
    """Return the notice of a changed password, and of keys that a reset revoked."""
    return _mail(
        "changed",
        to,
        "Your password was changed",
        (
            "The password of your account at Agent Talk was changed, and its other sessions were ended.",
            *((revoked_keys_text(revoked_keys),) if revoked_keys else ()),
            "If it was not you, ask for a new password on the sign-in page now:",
            app_url,
        ),
    )


def account_closed_mail(to: str) -> Mail:
    """Return the notice that the account is closed."""
    return _mail(
        "closed",
        to,
        "Your account was closed",
        (
            "Your account at Agent Talk was closed. Its sessions and API keys work no longer.",
            "Its memos, their audio and everything else are being deleted.",
            "When that is done, you can sign up with this address again.",
        ),
    )


def revoked_keys_text(count: int) -> str:
    """Return the sentence on the keys that a reset has revoked."""
    keys = "1 API key was" if count == 1 else f"{count} API keys were"
    return f"The address had never been confirmed, so {keys} revoked: somebody else may have made them."


def new_message_id() -> str:
    """Return the left side of a Message-ID: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def encoded(mail: Mail, *, sender: str, at: datetime, message_id: str) -> bytes:
    """Return the mail in its form on the wire: multipart/alternative, text first.

    A local part beyond ASCII needs a server with SMTPUTF8; all other parts are ASCII. Raises MailFailed for a bad
    recipient.
    """
    from email.headerregistry import Address  # noqa: PLC0415 20 ms together, which most containers never need
    from email.message import EmailMessage  # noqa: PLC0415
    from email.policy import SMTP, SMTPUTF8  # noqa: PLC0415
    from email.utils import format_datetime  # noqa: PLC0415

    local, domain = recipient(mail.to).rsplit("@", 1)
    message = EmailMessage(policy=SMTP if mail.to.isascii() else SMTPUTF8)
    message["From"] = Address(SERVICE, addr_spec=sender)
    message["To"] = Address(username=local, domain=domain)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}@{sender.rsplit('@', 1)[1]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{message_id}")
    return message.as_bytes()


def recipient(address: str) -> str:
    """Return the address. Raises MailFailed if a mail server could read it as another one, or as two.

    `=?` begins an encoded word, which some servers decode within an address, too.
    """
    if not _RECIPIENT.fullmatch(address) or "=?" in address:
        raise MailFailed("the recipient is not one plain address")
    return address


def _mail(kind: str, to: str, subject: str, paragraphs: Sequence[str]) -> Mail:
    """Return a mail of these paragraphs. In HTML a paragraph that is a URL becomes a link."""
    lines = ["Hello,", *paragraphs, f"{SERVICE}"]
    html = "".join(f"<p>{_linked(line)}</p>\n" for line in lines)
    return Mail(
        kind=kind,
        to=to,
        subject=subject,
        text="\n\n".join(lines) + "\n",
        html=f'<!doctype html>\n<html lang="en">\n<title>{escape(subject)}</title>\n{html}</html>\n',
    )


def _linked(line: str) -> str:
    if line.startswith(("https://", "http://")):
        return f'<a href="{escape(line)}">{escape(line)}</a>'
    return escape(line)
