"""A mail server's outage: logged and counted, and nothing that a request fails by."""

import asyncio

import pytest

from shared.core.derived import Pseudonyms
from shared.mail.messages import reset_mail
from shared.mail.sender import MailSender
from shared.observability import request_stats
from tests.fakes.mails import CaughtMails
from tests.handlers.world import kept_logs
from tests.support import SECRET

pytestmark = pytest.mark.anyio

MAIL = reset_mail("ada@example.org", "https://app.example.org/app#reset=abc.def")


def sender(mailer: CaughtMails) -> MailSender:
    return MailSender(lambda: mailer, pseudonyms=Pseudonyms(SECRET))


async def test_sender_sends_and_logs_no_address() -> None:
    mailer = CaughtMails()
    with kept_logs() as logs, request_stats.collected() as stats:
        assert await sender(mailer).try_send(MAIL)
    assert mailer.mails == [MAIL]
    assert stats.mails_failed == 0
    assert "a mail was sent" in logs.text
    assert "ada" not in logs.text
    assert "abc.def" not in logs.text


async def test_sender_counts_what_was_not_sent() -> None:
    with kept_logs() as logs, request_stats.collected() as stats:
        assert not await sender(CaughtMails(is_down=True)).try_send(MAIL)
    assert stats.mails_failed == 1
    assert "a mail was not sent: the mail server is down" in logs.text
    assert "ada" not in logs.text


async def test_sender_gives_up_in_time() -> None:
    """A mailer that never answers holds a request no longer than it was given."""
    never = CaughtMails(pause=asyncio.Event().wait)
    with kept_logs() as logs, request_stats.collected() as stats:
        assert not await sender(never).try_send(MAIL, within_s=0.01)
        assert not await sender(never).try_send(MAIL, within_s=0)
    assert stats.mails_failed == 2
    assert "it was not sent within 0.0 s" in logs.text
    assert "no time left" in logs.text
