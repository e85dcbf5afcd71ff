"""The wire form of mails."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from shared.mail.messages import account_closed_mail, encoded, password_changed_mail, reset_mail, verify_mail
from shared.mail.sender import Mail, MailFailed

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
LINK = "https://app.example.org/app#reset=abc.def"
MAILS = (
    verify_mail("ada@example.org", LINK),
    reset_mail("ada@example.org", LINK),
    password_changed_mail("ada@example.org", "https://app.example.org/app", revoked_keys=2),
    account_closed_mail("ada@example.org"),
)


def wire(mail: Mail) -> bytes:
    return encoded(mail, sender="talk@example.org", at=AT, message_id="0" * 32)


@pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.kind)
def test_mail_has_the_headers_of_transactional_mail(mail: Mail) -> None:
    """A mail has one recipient, a date, an id of our domain, and text before HTML, in short lines of ASCII."""
    raw = wire(mail)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) < 100
    assert b"\n" not in raw.replace(b"\r\n", b"")
    message = message_from_bytes(raw, policy=policy.default)
    assert {name: message[name] for name in message.keys() if name != "Content-Type"} == {  # noqa: SIM118 no mapping
        "From": "Agent Talk <talk@example.org>",
        "To": "ada@example.org",
        "Subject": mail.subject,
        "Date": "Mon, 02 Mar 2026 12:00:00 +0000",
        "Message-ID": f"<{'0' * 32}@example.org>",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    assert message.get_content_type() == "multipart/alternative"
    parts = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in message.iter_parts()}
    assert list(parts) == ["text/plain", "text/html"]
    assert parts["text/plain"] == mail.text
    assert parts["text/html"] == mail.html


def test_links_are_whole_in_both_forms() -> None:
    """A link has its own line in the text, and is an escaped link in the HTML."""
    mail = reset_mail("ada@example.org", 'https://app.example.org/app#reset="><b>&')
    assert 'https://app.example.org/app#reset="><b>&' in mail.text.split("\n")
    assert '<a href="https://app.example.org/app#reset=&quot;&gt;&lt;b&gt;&amp;">' in mail.html
    assert "<b>" not in mail.html


def test_password_changed_says_how_many_keys_were_revoked() -> None:
    assert "2 API keys were revoked" in MAILS[2].text
    assert "1 API key was revoked" in password_changed_mail("a@example.org", "https://x.org", revoked_keys=1).text
    assert "API key" not in password_changed_mail("a@example.org", "https://x.org").text


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.org, eve@example.org",
        "ada@example.org,eve@example.org",
        "ada@example.org;eve@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\nBcc:eve@example.org",
        "ada\x00@example.org",
        "ada@example.org eve@example.org",
        "ada@eve@example.org",
        "<eve@example.org>ada@example.org",
        '"ada, eve"@example.org',
        "eve@example.org(ada@example.org",
        "friends:ada@example.org",
        "=?utf-8?q?eve=40evil.org=2C?=@example.org",
        "ada@",
        "@example.org",
        "",
    ],
)
def test_mail_to_two_recipients_is_refused(address: str) -> None:
    """A text that a mail server could read as a second or another recipient is never sent."""
    with pytest.raises(MailFailed):
        wire(reset_mail(address, LINK))


def test_mail_to_other_letters_is_for_smtputf8() -> None:
    """The local part stays unchanged."""
    raw = wire(reset_mail("jörg@example.org", LINK))
    assert "To: jörg@example.org\r\n".encode() in raw


def test_mail_hides_its_link_and_recipient_in_reprs() -> None:
    assert "ada" not in repr(MAILS[1])
    assert "abc.def" not in repr(MAILS[1])
