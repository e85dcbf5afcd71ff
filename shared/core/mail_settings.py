"""Settings of mail, which `shared.core.settings` reads with its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from shared.core.speech_settings import Reader

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
"""The default port for each SMTP_SECURITY: those of submission (RFC 6409 and 8314), and that of plain SMTP."""


class MailChoice(StrEnum):
    CONSOLE = "console"
    SMTP = "smtp"
    SES = "ses"


class SmtpSecurity(StrEnum):
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class MailSettings:
    """How mails are sent, and by which sender. Without `smtp_user` there is no login to the SMTP server."""

    choice: MailChoice = MailChoice.CONSOLE
    sender: str = "agent-talk@localhost"
    smtp_host: str = ""
    smtp_port: int = PORTS["starttls"]
    smtp_security: SmtpSecurity = SmtpSecurity.STARTTLS
    smtp_user: str = ""
    smtp_password: str = field(default="", repr=False)


def mailing_modules(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the modules that sending a mail imports. With SES that takes some tenths of a second."""
    if env.get("MAIL") not in (MailChoice.SMTP, MailChoice.SES):
        return ()
    return (f"shared.mail.{env['MAIL']}", "email.message", "email.policy", "email.headerregistry")


def read_mail(read: Reader, *, production: bool) -> MailSettings:
    """Read how mails are sent. `console` prints links that open accounts: a problem in production and in Lambda."""
    deployed = production or read.in_lambda
    if deployed and not read.env.get("MAIL"):
        read.problems.append("no mail is configured: set MAIL to smtp or ses, which production and Lambda need")
        return MailSettings()
    choice = MailChoice(read.choice("MAIL", tuple(MailChoice), default=MailChoice.CONSOLE))
    if choice is MailChoice.CONSOLE:
        if deployed:
            read.problems.append("MAIL=console prints links that open accounts: set MAIL to smtp or ses")
        return MailSettings()
    security = SmtpSecurity(read.choice("SMTP_SECURITY", tuple(SmtpSecurity), default=SmtpSecurity.STARTTLS))
    settings = MailSettings(
        choice=choice,
        sender=read.env.get("MAIL_FROM", ""),
        smtp_host=read.env.get("SMTP_HOST", ""),
        smtp_port=read.count("SMTP_PORT", default=PORTS[security], most=65_535),
        smtp_security=security,
        smtp_user=read.env.get("SMTP_USER", ""),
        smtp_password=read.env.get("SMTP_PASSWORD", ""),
    )
    if not _ADDRESS.fullmatch(settings.sender):
        read.problems.append(f"MAIL={choice} needs MAIL_FROM, the address that mails come from")
    if choice is MailChoice.SMTP:
        read.problems.extend(_smtp_problems(settings, production=production))
    return settings


def _smtp_problems(settings: MailSettings, *, production: bool) -> list[str]:
    problems = []
    if not _HOST.fullmatch(settings.smtp_host):
        problems.append("MAIL=smtp needs SMTP_HOST, the name of a mail server")
    if bool(settings.smtp_user) != bool(settings.smtp_password):
        problems.append("SMTP_USER and SMTP_PASSWORD belong together")
    if not f"{settings.smtp_user}{settings.smtp_password}".isascii():
        problems.append("SMTP_USER and SMTP_PASSWORD must be ASCII: smtplib sends no other characters")
    if settings.smtp_security is SmtpSecurity.NONE and (production or settings.smtp_user):
        problems.append("SMTP_SECURITY=none would send links and passwords unencrypted: use starttls or tls")
    return problems
