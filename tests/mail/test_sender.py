"""A mail server's outage is logged and counted, and fails no request."""

import asyncio

import pytest

from shared.core.derived import Pseudonyms
from shared.mail.messages import reset_mail
from shared.mail.sender import Mail, Mailer, MailSender
from shared.observability import request_stats
from tests.fakes.mails import CaughtMails
from tests.handlers.world import kept_logs
from tests.support import SECRET, request_that_has

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
    """A mailer that never answers holds a request no longer than the given time."""
    never = CaughtMails(pause=asyncio.Event().wait)
    with kept_logs() as logs, request_stats.collected() as stats:
        assert not await sender(never).try_send(MAIL, within_s=0.01)
        assert not await sender(never).try_send(MAIL, within_s=0)
    assert stats.mails_failed == 2
    assert "it was not sent within 0.0 s" in logs.text
    assert "no time left" in logs.text


async def test_sender_leaves_a_second_of_the_request_to_its_answer() -> None:
    """A mail has what the request has left, but for the last second, and five seconds at most."""
    given: list[float] = []

    class Noting(CaughtMails):
        async def send(self, mail: Mail, *, left_s: float) -> None:
            given.append(left_s)
            await super().send(mail, left_s=left_s)

    for left_s in (3.0, 12.0, 1.0):
        with request_that_has(left_s):
            assert await sender(Noting()).try_send(MAIL) is (left_s > 1)
    assert given == [pytest.approx(2, abs=0.5), 5]


async def test_sender_opens_its_mailer_once() -> None:
    """The mailer is opened at the first mail and closed once. Without a mail it is not opened."""
    done: list[str] = []

    class Closing(CaughtMails):
        async def aclose(self) -> None:
            done.append("closed")

    def opened() -> Mailer:
        done.append("opened")
        return Closing()

    sends = MailSender(opened, pseudonyms=Pseudonyms(SECRET))
    await sends.close()
    assert done == []
    for _ in range(2):
        assert await sends.try_send(MAIL)
    for _ in range(2):
        await sends.close()
    assert done == ["opened", "closed"]
