"""Memos for SDKs of speech, whose automatic repeats are marked as repeats, but have no idempotency key.

Before speech is bought, a call draws an idempotency key for its memo and writes it under its API key and body, beside
that key's row, so a refused call leaves neither. A repeat reads it, and so returns the memo, waits for it, or makes it
if the call failed. After two calls with the same body a repeat returns the memo of the later one.
"""

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from shared.core.clock import Clock
from shared.core.errors import FirstStillRunning
from shared.core.ids import Ids
from shared.memos.idempotency import Idempotent, KeyedAnswer, KeyedMemos, body_digest
from shared.memos.requests import Draft
from shared.tables.issued_keys import IssuedKey
from shared.tables.speech_calls import SpeechCall, SpeechCalls

REPEATED_WITHIN: Final = timedelta(minutes=10)
"""The age of a call after which a repeat counts as a new call, by the API's contract. SDKs give up earlier."""


class SdkMemos:
    """Makes memos that are ready when the call returns."""

    def __init__(self, making: KeyedMemos, calls: SpeechCalls, *, clock: Clock, ids: Ids) -> None:
        self._making = making
        self._calls = calls
        self._clock = clock
        self._ids = ids

    async def make(
        self, key: IssuedKey, draft: Draft, *, is_repeat: bool, check: Awaitable[IssuedKey] | None = None
    ) -> KeyedAnswer:
        """Make a call's memo. For a repeat, return it instead, unless it was deleted.

        Raises the errors of `KeyedMemos.make`, and ValidationFailed if the text cannot be said at once.
        """
        draft = replace(draft, is_at_once=True)
        body = body_digest(draft)
        if is_repeat:
            checked = key if check is None else await check
            call = await self._calls.get(checked.id, body)
            if call is not None and self._clock() - call.at < REPEATED_WITHIN:
                answer = await self._named(checked, draft, Idempotent(name=call.name))
                if not answer.is_deleted:
                    return answer
            # Simultaneous repeats derive the same name from the last call, or from the body, so they make one memo.
            last = body if call is None else call.name
            following = SpeechCall(name=f"speech {hashlib.sha256(last.encode()).hexdigest()}", at=self._clock())
            beside = partial(self._calls.put, checked.id, body, following)
            return await self._named(checked, draft, Idempotent(name=following.name, beside=beside))
        return await self._new(key, draft, body, check)

    async def _new(
        self, key: IssuedKey, draft: Draft, body: str, check: Awaitable[IssuedKey] | None = None
    ) -> KeyedAnswer:
        at = self._clock()
        call = SpeechCall(name=f"speech {self._ids.mint(at)}", at=at)
        unused = asyncio.get_running_loop().create_future()
        unused.set_result(None)
        beside = partial(self._calls.put, key.id, body, call)
        return await self._named(key, draft, Idempotent(name=call.name, reading=unused, beside=beside), check)

    async def _named(
        self, key: IssuedKey, draft: Draft, given: Idempotent, check: Awaitable[IssuedKey] | None = None
    ) -> KeyedAnswer:
        try:
            return await self._making.make(key, draft, given, check=check)
        except FirstStillRunning as exc:
            raise FirstStillRunning(retry_after_s=1) from exc
