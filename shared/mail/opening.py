"""The mailer that settings choose, opened by the first mail: most containers send none."""

from collections.abc import Callable

from shared.core.clock import Clock
from shared.core.mail_settings import MailChoice, MailSettings
from shared.mail.sender import Mailer


def mailer_opener(settings: MailSettings, clock: Clock) -> Callable[[], Mailer]:
    """Return a function that opens the mailer. Its call imports what the mailer needs."""

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
