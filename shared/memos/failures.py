"""The undoing of a memo that fails: its places are given back, its rows removed, and the failure is recorded.

Places are given back first. Both steps have time of their own: a memo that used up the request's time must not stay
charged.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from shared.activity import UsageRecorder
from shared.core.concurrency import gather_settled
from shared.core.errors import (
    AgentTalkError,
    AudioStoreFailed,
    DailyLimitExceeded,
    FirstStillRunning,
    InternalError,
    KeyLimitExceeded,
    ServiceUnavailable,
    SpeechFailed,
)
from shared.core.request import UNDO_S, time_to_undo
from shared.core.text import characters
from shared.limits.quotas import Quotas
from shared.memos.requests import MemoRequest, MemoTurn
from shared.stores.best_effort import best_effort, repeated
from shared.stores.port import AlreadyExists, StoreUnavailable
from shared.tables import LongMemoList, Memos
from shared.tables.memos import Memo
from shared.tables.usage_logs import Action

_log = logging.getLogger("agent_talk.memos")


class FailedMemos:
    """Undoes and records requests that made no memo. It raises only the failure itself."""

    def __init__(self, *, memos: Memos, long_memos: LongMemoList, quotas: Quotas, recorder: UsageRecorder) -> None:
        self._memos = memos
        self._long_memos = long_memos
        self._quotas = quotas
        self._recorder = recorder

    @asynccontextmanager
    async def undone(self, request: MemoRequest) -> AsyncIterator[None]:
        """Undo and record a failure of the body, and raise it.

        A failed run of an idempotency key lets the next run begin. It removes nothing, since another run may return the
        same memo; so once its memo may exist, it stays charged. If another run has written the memo, this one is not
        charged, and raises FirstStillRunning; but a listed memo stays charged, since the list may give its places back.
        """
        try:
            yield
        except AlreadyExists as exc:
            if not request.is_listed:
                await request.reservation.give_back()
            if request.turn is None:
                raise
            raise FirstStillRunning from exc
        except BaseException as failure:
            if request.turn is None:
                await request.reservation.give_back()
                await gather_settled(self._discard(request), self._record(request, failure))
            else:
                await self._free(request.turn, request, failure)
            raise

    async def _free(self, turn: MemoTurn, request: MemoRequest, failure: BaseException) -> None:
        if request.memo is None:
            await request.reservation.give_back()
        await gather_settled(turn.free(wrote=request.memo is not None), self._record(request, failure))

    async def _discard(self, request: MemoRequest) -> None:
        """Remove audio and rows that may exist. A caller that gets an error must not find a memo."""
        with time_to_undo():
            if request.memo is None:
                await _discard_audio(request)
                return
            memo = request.memo
            await gather_settled(
                self._delist(request),
                _discard_audio(request),
                self._delete(memo),
                self._recorder.retract_memo(memo.user_id, memo.id),
            )

    async def _delist(self, request: MemoRequest) -> None:
        if request.is_listed:
            with best_effort("a failed memo could not be delisted: the speaker does it", memo_id=request.names.memo_id):
                await self._long_memos.remove(request.names.memo_id)

    async def _delete(self, memo: Memo) -> None:
        with best_effort("a memo that failed could not be removed: delete it", memo_id=memo.id):
            await repeated(partial(self._memos.delete, memo), "a memo was not deleted", memo_id=memo.id)

    async def _record(self, request: MemoRequest, failure: BaseException) -> None:
        if isinstance(failure, DailyLimitExceeded):
            await self._record_refusal(request, failure)
            return
        code = _code_of_5xx(failure)
        if code is not None:
            kind = Action.ERROR_TTS if isinstance(failure, SpeechFailed) else Action.ERROR_API
            await gather_settled(self._log(Action.MEMO_FAILED, request, code=code), self._log(kind, request, code=code))

    async def _record_refusal(self, request: MemoRequest, refusal: DailyLimitExceeded) -> None:
        """Record the first refusal of a window. Metadata has `"of": "key"` for a key's own limit; codes are equal."""
        with best_effort("a refusal could not be counted", user_id=request.key.user_id):
            if await self._quotas.refused(request.key, request.at, refusal) == 1:
                of_key = {"of": "key"} if isinstance(refusal, KeyLimitExceeded) else {}
                await self._log(Action.ERROR_RATE_LIMIT, request, code=refusal.code, **of_key)

    async def _log(self, action: Action, request: MemoRequest, *, code: str, **more: str) -> None:
        key, draft = request.key, request.draft
        metadata = {
            "code": code,
            "voice": draft.voice.id,
            "characters": characters(draft.text),
            "test": key.is_test,
            **more,
        }
        await self._recorder.try_record(action, user_id=key.user_id, at=request.at, key=key, metadata=metadata)


async def _discard_audio(request: MemoRequest) -> None:
    if request.speaker is None:
        return
    try:
        async with asyncio.timeout(UNDO_S):
            await request.speaker.discard(request.names.file)
    except (AudioStoreFailed, TimeoutError):
        _log.exception(
            "the audio of a memo that failed could not be removed: a sweep has to", extra={"file": request.names.file}
        )


def _code_of_5xx(failure: BaseException) -> str | None:
    """Return the code of a failure that answers 5xx. None: it answers 4xx, or the request was cancelled."""
    match failure:
        case AgentTalkError():
            return failure.code if failure.status >= 500 else None
        case StoreUnavailable():
            return ServiceUnavailable.code
        case Exception():
            return InternalError.code
        case _:
            return None
