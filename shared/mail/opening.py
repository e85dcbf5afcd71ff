"""The mailer that settings choose, opened when it first sends: most containers never do."""

from collections.abc import Callable

from shared.core.clock import Clock
from shared.core.mail_settings import MailChoice, MailSettings
from shared.mail.sender import Mailer


def mailer_opener(settings: MailSettings, clock: Clock) -> Callable[[], Mailer]:
    """Return what opens the mailer. Each imports what it needs then."""

    def console() -> Mailer:
        from shared.mail.console import ConsoleMailer  # noqa: PLC0415

        return ConsoleMailer()

    def smtp() -> Mailer:
        from shared.mail.smtp import SmtpMailer  # noqa: PLC0415

        return SmtpMailer(settings, clock=clock)

    def ses() -> Mailer:
        from shared.mail.ses import SesMailer  # noqa: PLC0415 boto3: some tenths of a second

        return SesMailer(settings, clock=clock)

    return {MailChoice.CONSOLE: console, MailChoice.SMTP: smtp, MailChoice.SES: ses}[settings.choice]
