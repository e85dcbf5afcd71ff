"""Settings of mail: required in production and in Lambda, and complete."""

import pytest

from shared.core.mail_settings import MailChoice, MailSettings, SmtpSecurity
from shared.core.settings import Settings, SettingsError
from tests.support import BY_SES, SECRET

LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "users",
    "AGENT_TALK_STORE": "dynamodb",
    "SESSION_SECRET": SECRET,
    "SPEECH": "simulated",
}
PRODUCTION = {"AGENT_TALK_ENV": "production", "SESSION_SECRET": SECRET, "PUBLIC_URL": "https://api.example.org"}
SMTP = {"MAIL": "smtp", "MAIL_FROM": "talk@example.org", "SMTP_HOST": "smtp.example.org"}


def problem(env: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    (only,) = caught.value.problems
    return only


def test_mail_is_printed_on_a_laptop_that_chooses_none() -> None:
    assert Settings.from_env({}).mail == MailSettings()
    assert Settings.from_env({}).app_url == "http://localhost:8000/app"
    assert Settings.from_env({"PUBLIC_URL": "https://x.org/v1"}).app_url == "https://x.org/v1/app"


def test_mail_settings_are_read() -> None:
    """The password is in no repr."""
    settings = Settings.from_env(
        SMTP | {"SMTP_PORT": "2525", "SMTP_SECURITY": "tls", "SMTP_USER": "talk", "SMTP_PASSWORD": "canary"}
    )
    assert settings.mail == MailSettings(
        choice=MailChoice.SMTP,
        sender="talk@example.org",
        smtp_host="smtp.example.org",
        smtp_port=2525,
        smtp_security=SmtpSecurity.TLS,
        smtp_user="talk",
        smtp_password="canary",
    )
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_smtp_port_follows_from_its_security(security: str, port: int) -> None:
    assert Settings.from_env(SMTP | {"SMTP_SECURITY": security}).mail.smtp_port == port


@pytest.mark.parametrize("place", [LAMBDA, PRODUCTION, LAMBDA | PRODUCTION])
def test_console_is_refused_where_others_read_it(place: dict[str, str]) -> None:
    """Chosen or left out, in every stage of Lambda and in production."""
    assert "set MAIL" in problem(place)
    assert "MAIL=console" in problem(place | {"MAIL": "console"})
    assert Settings.from_env(place | BY_SES).mail.choice is MailChoice.SES
    assert Settings.from_env(LAMBDA | {"IS_LOCAL": "true"}).mail.choice is MailChoice.CONSOLE


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"MAIL": "pigeon"}, "MAIL must be one of"),
        ({"MAIL": "ses"}, "MAIL_FROM"),
        ({"MAIL": "ses", "MAIL_FROM": "Talk <talk@example.org>"}, "MAIL_FROM"),
        ({"MAIL": "smtp", "MAIL_FROM": "talk@example.org"}, "SMTP_HOST"),
        (SMTP | {"SMTP_HOST": "smtp://x"}, "SMTP_HOST"),
        (SMTP | {"SMTP_PORT": "70000"}, "SMTP_PORT"),
        (SMTP | {"SMTP_PORT": "x"}, "SMTP_PORT"),
        (SMTP | {"SMTP_SECURITY": "ssl"}, "SMTP_SECURITY"),
        (SMTP | {"SMTP_USER": "talk"}, "belong together"),
        (SMTP | {"SMTP_USER": "talk", "SMTP_PASSWORD": "gehëim"}, "must be ASCII"),
        (SMTP | {"SMTP_SECURITY": "none", "SMTP_USER": "talk", "SMTP_PASSWORD": "x"}, "unencrypted"),
        (PRODUCTION | SMTP | {"SMTP_SECURITY": "none"}, "unencrypted"),
        ({"APP_URL": "javascript:alert(1)"}, "APP_URL"),
        (PRODUCTION | BY_SES | {"APP_URL": "http://app.example.org"}, "APP_URL must be https://"),
    ],
)
def test_incomplete_mail_settings_are_reported(env: dict[str, str], said: str) -> None:
    assert said in problem(env)
