"""Mails by SMTP: the standard library's client in a thread, one connection a mail."""

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final

from shared.core.clock import Clock
from shared.core.mail_settings import MailSettings, SmtpSecurity
from shared.mail.messages import encoded, new_message_id
from shared.mail.sender import Mail, MailFailed

AT_ONCE: Final = 4
"""Mails of one process at the same time, each with a thread and a connection. Mail servers limit connections."""

MOST_S: Final = 5.0
"""The most seconds that a thread waits for one answer of the server, even if its caller has given up."""

RAISED: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((smtplib.SMTPAuthenticationError,), "the mail server does not take SMTP_USER and SMTP_PASSWORD"),
    ((smtplib.SMTPRecipientsRefused,), "the mail server refused the recipient"),
    ((smtplib.SMTPSenderRefused,), "the mail server refused MAIL_FROM"),
    ((smtplib.SMTPNotSupportedError,), "the mail server lacks what is needed: STARTTLS, AUTH or SMTPUTF8"),
    ((smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected), "the mail server ended the connection"),
    ((smtplib.SMTPException,), "the mail server refused the mail"),
    ((ssl.SSLError,), "the mail server's certificate or protocol is not good: check SMTP_HOST and SMTP_SECURITY"),
    ((TimeoutError,), "the mail server did not answer"),
    ((OSError,), "the mail server cannot be reached: check SMTP_HOST and SMTP_PORT"),
    ((UnicodeError,), "SMTP_HOST, SMTP_USER or SMTP_PASSWORD cannot be sent: check for empty labels and for non-ASCII"),
)
"""The failure by the exception that the client raises. The first row that fits counts."""


class SmtpMailer:
    """`trusted` are the certificates of accepted servers; None: the machine's."""

    def __init__(
        self,
        settings: MailSettings,
        *,
        clock: Clock,
        trusted: ssl.SSLContext | None = None,
        new_id: Callable[[], str] = new_message_id,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._trusted = trusted

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mail")

    async def send(self, mail: Mail, *, left_s: float) -> None:
        """Send a mail. Raises MailFailed. A mail that no thread has begun before its time ends is not sent."""
        content = encoded(mail, sender=self._settings.sender, at=self._clock(), message_id=self._new_id())
        wait_s = min(left_s, MOST_S)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._send, mail.to, content, wait_s)

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _send(self, to: str, content: bytes, wait_s: float) -> None:
        """Send a mail over a new connection. Runs in a thread."""
        options = [] if to.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            with self._connected(wait_s) as server:
                if self._settings.smtp_user:
                    server.login(self._settings.smtp_user, self._settings.smtp_password)
                server.sendmail(self._settings.sender, [to], content, mail_options=options)
        except (OSError, UnicodeError) as exc:  # SMTPException is an OSError
            raise failure(exc) from None  # its text may repeat the address or the password

    def _connected(self, wait_s: float) -> smtplib.SMTP:
        host, port = self._settings.smtp_host, self._settings.smtp_port
        if self._settings.smtp_security is SmtpSecurity.TLS:
            return smtplib.SMTP_SSL(host, port, timeout=wait_s, context=self._context)
        server = smtplib.SMTP(host, port, timeout=wait_s)
        try:
            if self._settings.smtp_security is SmtpSecurity.STARTTLS:
                server.starttls(context=self._context)
        except BaseException:
            server.close()
            raise
        return server

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self._trusted or ssl.create_default_context()


def failure(exc: Exception) -> MailFailed:
    """Return the failure that the client's exception means, with the server's code."""
    what = next(what for kinds, what in RAISED if isinstance(exc, kinds))
    code = getattr(exc, "smtp_code", None)
    return MailFailed(f"{what} ({type(exc).__name__}{f' {code}' if code else ''})")
