"""The adapters: the same bytes by SMTP and by SES, to the given recipient alone."""

import asyncio
import smtplib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore import exceptions as botocore
from moto import mock_aws
from moto.ses.models import ses_backends

from shared.core.mail_settings import MailChoice, MailSettings, SmtpSecurity
from shared.mail import ses
from shared.mail.console import KEPT, ConsoleMailer
from shared.mail.messages import encoded, reset_mail
from shared.mail.sender import Mail, MailFailed
from shared.mail.ses import SesMailer
from shared.mail.smtp import SmtpMailer
from shared.mail.smtp import failure as smtp_failure
from tests.certificates import self_signed
from tests.fakes.mails import MailServer, mail_server
from tests.support import NOON, FakeClock, outcomes

if TYPE_CHECKING:
    from types_boto3_sesv2 import SESV2Client

pytestmark = pytest.mark.anyio

SENDER = "talk@example.org"
ID = "0123456789abcdef0123456789abcdef"
MAIL = reset_mail("ada@example.org", "https://app.example.org/app#reset=abc.def")
PASSWORD = "smtp secret"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return self_signed(tmp_path)


@pytest.fixture
def client() -> Iterator["SESV2Client"]:
    with mock_aws():
        client = boto3.session.Session("a", "b", region_name="eu-central-1").client("sesv2")
        client.create_email_identity(EmailIdentity=SENDER)
        yield client


def expected(mail: Mail = MAIL) -> bytes:
    return encoded(mail, sender=SENDER, at=NOON, message_id=ID)


def smtp(
    port: int, *, security: SmtpSecurity = SmtpSecurity.NONE, certificate: Path | None = None, password: str = ""
) -> SmtpMailer:
    settings = MailSettings(
        choice=MailChoice.SMTP,
        sender=SENDER,
        smtp_host="127.0.0.1",
        smtp_port=port,
        smtp_security=security,
        smtp_user="talk" if password else "",
        smtp_password=password,
    )
    trusted = None if certificate is None else ssl.create_default_context(cafile=str(certificate))
    return SmtpMailer(settings, clock=FakeClock(NOON), trusted=trusted, new_id=lambda: ID)


def by_ses(client: "SESV2Client") -> SesMailer:
    settings = MailSettings(choice=MailChoice.SES, sender=SENDER)
    return SesMailer(settings, clock=FakeClock(NOON), open_client=lambda: client, new_id=lambda: ID)


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def sent_by_smtp(mail: Mail) -> tuple[str, set[str], bytes]:
    with mail_server() as server:
        mailer = smtp(server.port)
        await mailer.send(mail, left_s=5)
        await mailer.aclose()
        (envelope,) = server.caught
    assert isinstance(envelope.content, bytes)
    return str(envelope.mail_from), set(envelope.rcpt_tos), envelope.content


async def sent_by_ses(mail: Mail, client: "SESV2Client") -> tuple[str, set[str], bytes]:
    mailer = by_ses(client)
    await mailer.send(mail, left_s=5)
    await mailer.aclose()
    (sent,) = ses_backends["123456789012"]["eu-central-1"].sent_messages
    # moto adds the recipients of the headers to those of the envelope
    return sent.source, set(sent.destinations), sent.raw_data.encode()


@pytest.mark.parametrize("adapter", ["smtp", "ses"])
async def test_mail_arrives_byte_for_byte(adapter: str, client: "SESV2Client") -> None:
    """Both send the same bytes, from the same sender, to the one recipient that the envelope names."""
    sent = await (sent_by_smtp(MAIL) if adapter == "smtp" else sent_by_ses(MAIL, client))
    assert sent == (SENDER, {"ada@example.org"}, expected())


async def test_smtp_sends_to_other_letters_by_smtputf8() -> None:
    mail = reset_mail("jörg@example.org", "https://app.example.org/app#reset=x")
    assert await sent_by_smtp(mail) == (SENDER, {"jörg@example.org"}, expected(mail))


@pytest.mark.parametrize("security", [SmtpSecurity.STARTTLS, SmtpSecurity.TLS])
async def test_smtp_encrypts_and_logs_in(certificate: Path, security: SmtpSecurity) -> None:
    """The connection is encrypted before the password is sent."""
    tls = {"starttls" if security is SmtpSecurity.STARTTLS else "tls": serving(certificate)}
    with mail_server(password=PASSWORD, **tls) as server:
        mailer = smtp(server.port, security=security, certificate=certificate, password=PASSWORD)
        await mailer.send(MAIL, left_s=5)
        await mailer.aclose()
        assert [envelope.content for envelope in server.caught] == [expected()]


async def failing(mailer: SmtpMailer, server: MailServer | None = None, mail: Mail = MAIL) -> str:
    with pytest.raises(MailFailed) as raised:
        await mailer.send(mail, left_s=5)
    await mailer.aclose()
    assert raised.value.__cause__ is None
    assert server is None or not server.caught
    assert mail.to not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    return str(raised.value)


async def test_smtp_trusts_no_unknown_certificate(certificate: Path) -> None:
    with mail_server(starttls=serving(certificate)) as server:
        said = await failing(smtp(server.port, security=SmtpSecurity.STARTTLS), server)
    assert "certificate" in said


async def test_smtp_without_starttls_sends_nothing() -> None:
    """A server that offers no encryption, or whose offer an attacker removed, gets neither password nor mail."""
    with mail_server() as server:
        said = await failing(smtp(server.port, security=SmtpSecurity.STARTTLS), server)
    assert "STARTTLS" in said


async def test_smtp_says_why_a_mail_was_not_sent(certificate: Path) -> None:
    """A refused recipient, a wrong password and a missing server have a text, without address and password."""
    with mail_server() as server:
        server.refuses = "550 5.1.1 ada@example.org is unknown"
        assert "refused the recipient" in await failing(smtp(server.port), server)
    with mail_server(starttls=serving(certificate), password=PASSWORD) as server:
        wrong = smtp(
            server.port, security=SmtpSecurity.STARTTLS, certificate=certificate, password=f"not {PASSWORD[:3]}"
        )
        assert "SMTP_PASSWORD" in await failing(wrong, server)
    assert "cannot be reached" in await failing(smtp(server.port))


async def test_smtp_fails_when_settings_cannot_be_sent(certificate: Path) -> None:
    """A host with an empty label and a password beyond ASCII fail as a mail, so no request is answered 500."""
    settings = MailSettings(choice=MailChoice.SMTP, sender=SENDER, smtp_host="mail..example.org")
    said = "SMTP_HOST, SMTP_USER or SMTP_PASSWORD"
    assert said in await failing(SmtpMailer(settings, clock=FakeClock(NOON)))
    with mail_server(starttls=serving(certificate), password=PASSWORD) as server:
        foreign = smtp(server.port, security=SmtpSecurity.STARTTLS, certificate=certificate, password="Paßwort")
        assert said in await failing(foreign, server)


async def test_ses_says_why_a_mail_was_not_sent() -> None:
    """An unverified sender has the code of SES's answer, and an address beyond ASCII is refused."""
    with mock_aws():
        unverified = boto3.session.Session("a", "b", region_name="eu-central-1").client("sesv2")
        mailer = by_ses(unverified)
        with pytest.raises(MailFailed, match=r"verified identity.*MessageRejected"):
            await mailer.send(MAIL, left_s=5)
        with pytest.raises(MailFailed, match="ASCII"):
            await mailer.send(reset_mail("jörg@example.org", "https://x.org"), left_s=5)
        await mailer.aclose()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (botocore.NoRegionError(), "no AWS credentials, or no region"),
        (botocore.NoCredentialsError(), "no AWS credentials"),
        (botocore.EndpointConnectionError(endpoint_url="x"), "could not be reached"),
        (botocore.ReadTimeoutError(endpoint_url="x"), "did not answer"),
        (botocore.ParamValidationError(report="ada@example.org"), "asked wrongly"),
        (botocore.ClientError({"Error": {"Code": "ThrottlingException"}}, "SendEmail"), "too often"),
        (botocore.ClientError({"Error": {"Code": "AccessDeniedException"}}, "SendEmail"), "ses:SendRawEmail"),
        (botocore.ClientError({"Error": {"Code": "Strange", "Message": "ada@example.org"}}, "SendEmail"), "Strange"),
    ],
)
def test_ses_failures_are_classified(raised: Exception, said: str) -> None:
    """The error does not contain the SDK's text, which may repeat the address."""
    assert said in str(ses.failure(raised))
    assert "ada" not in str(ses.failure(raised))


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (smtplib.SMTPAuthenticationError(535, b"ada@example.org"), "SMTP_PASSWORD (SMTPAuthenticationError 535)"),
        (smtplib.SMTPRecipientsRefused({"ada@example.org": (550, b"no")}), "the recipient (SMTPRecipientsRefused)"),
        (smtplib.SMTPSenderRefused(553, b"no", "ada@example.org"), "MAIL_FROM (SMTPSenderRefused 553)"),
        (smtplib.SMTPNotSupportedError("ada@example.org"), "lacks what is needed"),
        (smtplib.SMTPConnectError(421, b"no"), "ended the connection (SMTPConnectError 421)"),
        (smtplib.SMTPServerDisconnected("ada@example.org"), "ended the connection"),
        (smtplib.SMTPDataError(554, b"ada@example.org"), "refused the mail (SMTPDataError 554)"),
        (ssl.SSLCertVerificationError("ada@example.org"), "certificate or protocol"),
        (TimeoutError("ada@example.org"), "did not answer (TimeoutError)"),
        (ConnectionRefusedError("ada@example.org"), "cannot be reached"),
    ],
)
def test_smtp_failures_are_classified(raised: Exception, said: str) -> None:
    """The error has the server's code, if there is one, and not its text, which may repeat the address."""
    assert said in str(smtp_failure(raised))
    assert "ada" not in str(smtp_failure(raised))


class HeldSmtpMailer(SmtpMailer):
    """Sends nothing: records the wait of each thread, and holds all threads."""

    def __init__(self) -> None:
        super().__init__(MailSettings(choice=MailChoice.SMTP, sender=SENDER), clock=FakeClock(NOON))
        self.waits: list[float] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def _send(self, to: str, content: bytes, wait_s: float) -> None:  # noqa: ARG002 nothing is sent
        self.waits.append(wait_s)
        self.begun.release()
        self.go_on.wait(30)


async def test_smtp_waits_no_longer_than_its_caller() -> None:
    """A thread waits for an answer as long as its caller, at most five seconds: a caller cannot end it."""
    mailer = HeldSmtpMailer()
    mailer.go_on.set()
    for left_s in (0.5, 60):
        await mailer.send(MAIL, left_s=left_s)
    await mailer.aclose()
    assert mailer.waits == [0.5, 5]


async def test_smtp_sends_four_mails_at_once() -> None:
    """Mail servers limit a client's connections: the fifth mail waits for a thread, and is sent when one is free."""
    mailer = HeldSmtpMailer()
    sending = [asyncio.ensure_future(mailer.send(MAIL, left_s=5)) for _ in range(5)]
    await asyncio.sleep(0)
    for _ in range(4):
        assert mailer.begun.acquire(timeout=30)
    assert not mailer.begun.acquire(timeout=0.05)
    mailer.go_on.set()
    await asyncio.gather(*sending)
    await mailer.aclose()
    assert len(mailer.waits) == 5


async def test_ses_sends_four_mails_at_once_and_none_late() -> None:
    """A mail that SES does not answer ends with its time; one that no thread has begun by then is never sent."""
    go_on, sent = threading.Event(), list[str]()

    class Held:
        def send_email(self, **mail: Any) -> None:
            sent.extend(mail["Destination"]["ToAddresses"])
            go_on.wait(30)

        def close(self) -> None:
            """Close nothing."""

    settings = MailSettings(choice=MailChoice.SES, sender=SENDER)
    mailer = SesMailer(settings, clock=FakeClock(NOON), open_client=lambda: cast("SESV2Client", Held()))
    _, raised = await outcomes(mailer.send(MAIL, left_s=0.2) for _ in range(5))
    go_on.set()
    await mailer.aclose()
    assert sent == [MAIL.to] * 4
    assert sorted(map(str, raised)) == ["SES did not answer in time"] * 4 + ["too many mails were under way"]


async def test_console_prints_and_keeps_the_last() -> None:
    """The newest KEPT mails are kept, newest first, and a mail to two recipients is refused."""
    printed: list[str] = []
    mailer = ConsoleMailer(write=printed.append)
    for number in range(KEPT + 5):
        await mailer.send(reset_mail(f"user{number}@example.org", f"https://x.org/app#reset={number}"), left_s=5)
    await mailer.aclose()
    assert "https://x.org/app#reset=0" in printed[0]
    assert [mail.to for mail in mailer.kept] == [f"user{number}@example.org" for number in range(KEPT + 4, 4, -1)]
    with pytest.raises(MailFailed):
        await mailer.send(reset_mail("a@example.org,b@example.org", "https://x.org"), left_s=5)
