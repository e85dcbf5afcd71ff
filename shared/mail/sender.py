"""Sending mail, as a port; and a sender whose callers never fail because of the mail server."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.core.derived import Pseudonyms
from shared.core.request import time_left_s
from shared.observability import request_stats

MAIL_S: Final = 5.0
"""Seconds that a mail may take. A longer wait would delay the answer of a request that is done otherwise."""

REST_S: Final = 1.0
"""Seconds of a request's time that a mail leaves for the answer."""

_log = logging.getLogger("agent_talk.mail")


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One mail to one recipient. Its texts may contain a link that opens an account, so no log contains them."""

    kind: str
    """For logs: `verify`, `reset`, `changed` or `closed`."""

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


class MailFailed(Exception):
    """A mail was not sent, or perhaps not. The text is for the log, and contains no address."""


class Mailer(Protocol):
    async def send(self, mail: Mail, *, left_s: float) -> None:
        """Send a mail. The caller cancels this after `left_s` seconds.

        Raises MailFailed; the mail may have been sent all the same.
        """

    async def aclose(self) -> None:
        """Close the connections and threads that sending opened."""


class MailSender:
    """Sends mails. Requests succeed without them: a failure is logged and counted, and an owner can request a link
    again."""

    def __init__(self, open_mailer: Callable[[], Mailer], *, pseudonyms: Pseudonyms) -> None:
        self._open = open_mailer
        self._pseudonyms = pseudonyms
        self._mailer: Mailer | None = None

    async def try_send(self, mail: Mail, *, within_s: float = MAIL_S) -> bool:
        """Send a mail within `within_s` seconds, and return whether it was sent. Raises no MailFailed."""
        if self._mailer is None:
            self._mailer = self._open()
        left_s = min(within_s, time_left_s() - REST_S)
        try:
            if left_s <= 0:
                raise MailFailed("the request had no time left for it")
            async with asyncio.timeout(left_s):
                await self._mailer.send(mail, left_s=left_s)
        except (MailFailed, TimeoutError) as exc:
            request_stats.current().mails_failed += 1
            why = str(exc) or f"it was not sent within {left_s:.1f} s"
            _log.error("a mail was not sent: %s", why, extra=self._named(mail))
            return False
        _log.info("a mail was sent", extra=self._named(mail))
        return True

    async def close(self) -> None:
        if self._mailer is not None:
            mailer, self._mailer = self._mailer, None
            await mailer.aclose()

    def _named(self, mail: Mail) -> dict[str, str]:
        return {"kind": mail.kind, "recipient": self._pseudonyms.of(mail.to)}
