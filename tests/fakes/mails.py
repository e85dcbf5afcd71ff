"""Mail in tests: a mailer that keeps its mails, and a mail server that catches sent ones."""

import asyncio
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from shared.mail.sender import Mail, MailFailed


@dataclass
class CaughtMails:
    """Keeps mails. While `is_down` each send fails; `pause` is awaited before each."""

    mails: list[Mail] = field(default_factory=list)
    is_down: bool = False
    pause: Callable[[], Any] | None = None

    async def send(self, mail: Mail, *, left_s: float) -> None:
        assert left_s > 0
        if self.pause is not None:
            await self.pause()
        if self.is_down:
            raise MailFailed("the mail server is down")
        self.mails.append(mail)

    async def aclose(self) -> None:
        """Close nothing, and keep the mails."""

    def to(self, address: str, kind: str) -> list[Mail]:
        return [mail for mail in self.mails if (mail.to, mail.kind) == (address, kind)]

    def token(self, address: str, kind: str) -> str:
        """Return the token of the newest mail's link."""
        return token_of(self.to(address, kind)[-1].text)


def token_of(text: str) -> str:
    (token,) = re.findall(r"#(?:verify|reset)=(\S+)", text)
    return str(token)


@dataclass
class MailServer:
    """A mail server. `caught` are the envelopes: sender, recipients, bytes. `refuses` is the answer to RCPT, if set."""

    port: int = 0
    caught: list[Envelope] = field(default_factory=list)
    refuses: str = ""

    async def handle_RCPT(  # noqa: N802 aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.caught.append(envelope)
        return "250 OK"


@contextmanager
def mail_server(
    *, starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, password: str = ""
) -> Iterator[MailServer]:
    """Run a server on a free port of loopback; with a password, the user `talk` must log in."""
    server, started, stop = MailServer(), threading.Event(), threading.Event()

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"talk", password.encode()), handled=False)

    def protocol() -> SMTP:
        return SMTP(
            server,
            enable_SMTPUTF8=True,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_require_tls=tls is None,
            auth_required=bool(password) and tls is None,  # aiosmtpd does not recognise implicit TLS
            authenticator=check if password else None,
        )

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        serving = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
        server.port = serving.sockets[0].getsockname()[1]
        started.set()
        await asyncio.to_thread(stop.wait)
        serving.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield server
    finally:
        stop.set()
        thread.join()
