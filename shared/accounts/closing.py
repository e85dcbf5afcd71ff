"""Closing an account: paid services are cancelled, nothing opens the account any more, and it is erased.

1. Paid services are cancelled. If that fails, nothing has changed.
2. The account is added to the list of accounts to erase, before any row of it changes: if this request breaks off,
   housekeeping finishes its work from the list.
3. The user's row is marked: sessions end, logins are refused, and the address stays taken.
4. The ring admits no more keys, existing keys are revoked, and no audio is served any more.
5. Audio and rows are erased, by this request as far as its time suffices, then by housekeeping.

A day after nothing was left, housekeeping erases once more: a request may have written a memo or a key meanwhile.
"""

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from shared.accounts.erasure import Erasure, in_request
from shared.audio.files import AudioPlaceFailed, close_owner
from shared.audio.opening import AudioPlace
from shared.core.clock import Clock
from shared.core.concurrency import gather_settled
from shared.core.errors import NotFound
from shared.jobs.worked import CanGoOn, Progress, Worked
from shared.mail.messages import account_closed_mail
from shared.mail.sender import MailSender
from shared.stores.port import StoreError
from shared.tables import Tables
from shared.tables.closing import ClosingAccount
from shared.tables.users import User

KEPT_FOR: Final = timedelta(days=1)
"""The time for which an account stays on the list after nothing was left of it. No request lasts that long."""

GIVEN_UP_AFTER: Final = timedelta(hours=1)
"""The age at which an account on the list, whose row is not marked, leaves it: the request that was to close it has
ended without doing so."""

FOREVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

_log = logging.getLogger("agent_talk.closing")


class PaidServices(Protocol):
    async def cancel(self, user_id: str) -> None:
        """Cancel all that an owner pays for. Repeatable. Raises ServiceUnavailable if the outcome is not certain."""


class Closing:
    def __init__(
        self, *, tables: Tables, erasure: Erasure, audio: AudioPlace, paid: PaidServices, mail: MailSender, clock: Clock
    ) -> None:
        self._tables = tables
        self._erasure = erasure
        self._audio = audio
        self._paid = paid
        self._mail = mail
        self._clock = clock

    async def close(self, user: User) -> None:
        """Close an account: when this returns, no session or key of it works.

        Erasing takes the rest of the request's time. Its failures are logged, and housekeeping repeats it.
        Raises ServiceUnavailable if paid services were not cancelled for certain, StoreError, AudioPlaceFailed.
        """
        await self._paid.cancel(user.id)
        at = self._clock()
        account = ClosingAccount(user_id=user.id, since=at)
        await self._tables.closing.put(account)
        with suppress(NotFound):  # another request has closed it, and erased it already
            await self._tables.users.change(user.id, lambda row: row.closed(at))
        await self._shut(user.id, at)
        _log.info("account closed", extra={"user_id": user.id})
        await gather_settled(self._mail.try_send(account_closed_mail(user.email)), self._try_erase(account, in_request))

    async def work(self, can_go_on: CanGoOn, progress: Progress) -> Worked:
        """Erase the accounts on the list, as far as the time suffices. Repeatable, and two runs may overlap."""
        worked, after = Worked(), None
        while can_go_on():
            accounts, after = await self._tables.closing.page(after)
            for account in accounts:
                due_at = account.since if account.emptied_at is None else account.emptied_at + KEPT_FOR
                if self._clock() < due_at:
                    worked = worked.plus(waiting=1)
                elif not can_go_on():
                    return worked.plus(is_done=False, due_since=due_at)
                elif await self._try_erase(account, can_go_on):
                    worked = worked.plus(done=1)
                    progress(account.user_id)
                else:
                    worked = worked.plus(failed=1, due_since=due_at)
            if after is None:
                return worked
        return worked.plus(is_done=False)

    async def _try_erase(self, account: ClosingAccount, can_go_on: CanGoOn) -> bool:
        """Erase an account, and return whether nothing is left. A failure is logged: the account stays on the list."""
        try:
            return await self._erase(account, can_go_on)
        except (StoreError, AudioPlaceFailed):
            _log.exception(
                "a closed account could not be erased: it is tried again", extra={"user_id": account.user_id}
            )
            return False

    async def _erase(self, account: ClosingAccount, can_go_on: CanGoOn) -> bool:
        user = await self._tables.users.get(account.user_id)
        if user is not None and not user.is_closing:
            if self._clock() < account.since + GIVEN_UP_AFTER:
                return False
            await self._tables.closing.remove(account.user_id)
            return True
        if user is not None:
            await self._shut(account.user_id, account.since)
        whole = account.emptied_at is not None
        if not await self._erasure.erase(account.user_id, whole=whole, can_go_on=can_go_on):
            return False
        if whole:
            await self._tables.closing.remove(account.user_id)
        else:
            await self._tables.closing.put(replace(account, emptied_at=self._clock()))
        _log.info("a closed account was erased", extra={"user_id": account.user_id, "whole": whole})
        return True

    async def _shut(self, user_id: str, at: datetime) -> None:
        """Revoke all keys of the owner, admit no new ones, and stop serving the audio. Repeatable."""
        await self._tables.api_keys.revoke_facts(await self._tables.api_keys.void(user_id, FOREVER), at)
        if self._audio.files is not None:
            await close_owner(self._audio.files, user_id)
