"""Mails by Amazon SES, raw, so that they equal those of SMTP.

No key is needed: the function's role gives the right to send. SES authorises `SendEmail` with a raw mail as
`ses:SendRawEmail`.

Import this module only if SES was chosen: boto3 takes some tenths of a second.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import boto3
from botocore import exceptions as botocore
from botocore.config import Config

from shared import aws_failures as aws
from shared.aws_connections import AwsCalls, WorkTimedOut, breakable
from shared.core.clock import Clock
from shared.core.mail_settings import MailSettings
from shared.mail.messages import encoded, new_message_id
from shared.mail.sender import Mail, MailFailed

if TYPE_CHECKING:  # stubs, which only a developer has
    from types_boto3_sesv2 import SESV2Client

AT_ONCE: Final = 4
"""Mails of one process at the same time, each with a thread."""

CONNECT_S: Final = 2.0
READ_S: Final = 5.0

ANSWERED: Final[dict[str, str]] = {
    "MessageRejected": "SES refused the mail: is MAIL_FROM a verified identity, and the account out of the sandbox?",
    "MailFromDomainNotVerifiedException": "SES refused the mail: the domain of MAIL_FROM is not verified",
    "AccountSuspendedException": "SES refused the mail: the account may not send",
    "SendingPausedException": "SES refused the mail: sending is paused",
    "LimitExceededException": "SES refused the mail: the day's quota is used up",
    **dict.fromkeys(aws.BUSY_CODES, "SES is asked too often"),
    **dict.fromkeys(aws.DENIED_CODES, "SES does not allow this to the role: check its right to ses:SendRawEmail"),
    **dict.fromkeys(aws.UNKNOWN_CREDENTIAL_CODES, "SES does not know these credentials"),
}
"""The failure by the code of SES's answer."""

RAISED: Final[tuple[tuple[aws.Raised, str], ...]] = (
    ((*aws.NO_REGION, *aws.NO_CREDENTIALS, *aws.BAD_CONFIG), "SES was not asked: no AWS credentials, or no region"),
    (aws.UNREACHED, "SES could not be reached"),
    (aws.LOST, "SES did not answer"),
    ((botocore.BotoCoreError,), "SES was asked wrongly"),
)
"""The failure by the exception that the SDK raises without an answer. The first row that fits counts."""


def open_ses() -> "SESV2Client":
    """Open SES. boto3 reads region, credentials and `AWS_ENDPOINT_URL` from the environment."""
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=AT_ONCE,
        retries={"total_max_attempts": 1},  # a repeat after a lost answer would send the mail twice
    )
    return breakable(boto3.session.Session().client("sesv2", config=config))


class SesMailer:
    def __init__(
        self,
        settings: MailSettings,
        *,
        clock: Clock,
        open_client: Callable[[], "SESV2Client"] = open_ses,
        new_id: Callable[[], str] = new_message_id,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._calls = AwsCalls(open_client, name="ses", at_once=AT_ONCE)

    async def send(self, mail: Mail, *, left_s: float) -> None:
        """Send a mail. Raises MailFailed. SES takes the recipient as an argument, not from the headers."""
        if not mail.to.isascii():
            raise MailFailed("SES takes addresses in ASCII alone")
        content = encoded(mail, sender=self._settings.sender, at=self._clock(), message_id=self._new_id())

        def send(client: "SESV2Client") -> None:
            client.send_email(
                FromEmailAddress=self._settings.sender,
                Destination={"ToAddresses": [mail.to]},
                Content={"Raw": {"Data": content}},
            )

        try:
            await self._calls.run(send, left_s=left_s)
        except WorkTimedOut as exc:
            raise MailFailed("SES did not answer in time" if exc.begun else "too many mails were under way") from None
        except (botocore.ClientError, botocore.BotoCoreError) as exc:
            raise failure(exc) from None  # its text may repeat the address

    async def aclose(self) -> None:
        self._calls.close()


def failure(exc: Exception) -> MailFailed:
    """Return the failure that an exception of the SDK means."""
    if isinstance(exc, botocore.ClientError):
        answer = aws.read_answer(exc)
        return MailFailed(f"{ANSWERED.get(answer.code, 'SES refused the mail')} ({answer.status} {answer.code})")
    what = next((what for kinds, what in RAISED if isinstance(exc, kinds)), "SES failed")
    return MailFailed(f"{what} ({type(exc).__name__})")
