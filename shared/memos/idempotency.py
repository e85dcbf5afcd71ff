"""Memos with an `Idempotency-Key`: repeats and crashes leave one memo, with one answer.

A run writes the memo's id, time and file into the row of the idempotency key before it makes anything. So all runs
write the same memo, and a key is done once its memo exists, or the log of a deleted memo: no further write marks it as
done. A run that fails writes that into the row, and the next one begins at once. A run that died is taken over after
RUN_S, by a change of the row that only one caller can make. docs/decisions/0007-idempotency.md has the reasons.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.activity import UsageRecorder
from shared.audio.files import new_file
from shared.core.clock import Clock
from shared.core.concurrency import gather_settled
from shared.core.errors import Conflict, FirstStillRunning
from shared.core.ids import Ids
from shared.core.request import time_to_undo
from shared.limits.quotas import Allowance, Quotas
from shared.memos.memos import MemoService
from shared.memos.requests import Draft, MemoNames
from shared.stores.best_effort import best_effort
from shared.stores.port import AlreadyExists, Document, serialised
from shared.tables import IdempotencyKeys, Tables
from shared.tables.idempotency_keys import Failure, KeyedRun
from shared.tables.issued_keys import IssuedKey
from shared.tables.memos import Memo
from shared.tables.usage_logs import MEMO_DELETED

RUN_S: Final = timedelta(seconds=60)
"""The age at which a run without a memo is assumed dead, and may be taken over. Lambda stops a function after 15 s:
with less than that a second run could begin beside a living one, which costs the speech again, but makes no second
memo."""

LOOKS: Final = 3
"""The most attempts to begin a run while others are faster. More would only delay the answer "still running"."""


@dataclass(frozen=True, kw_only=True)
class Idempotent:
    """An idempotency key of a request. `reading` returns its row, and may be under way.

    `beside` writes further rows of a run when the run begins, so a request that is refused earlier writes none.
    """

    name: str
    reading: Awaitable[KeyedRun | None] | None = None
    beside: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, kw_only=True)
class KeyedAnswer:
    """The memo of an idempotency key. `is_replay`: an earlier request made it, and this one is not charged.
    `is_deleted`: it was deleted since."""

    memo: Memo
    allowance: Allowance
    is_replay: bool
    is_deleted: bool = False


class KeyedMemos:
    """Decides which request makes the memo of an idempotency key, and answers repeats. `making` makes the memos."""

    def __init__(
        self, making: MemoService, tables: Tables, *, quotas: Quotas, recorder: UsageRecorder, clock: Clock, ids: Ids
    ) -> None:
        self._making = making
        self._keys = tables.idempotency_keys
        self._memos = tables.memos
        self._logs = tables.usage_logs
        self._quotas = quotas
        self._recorder = recorder
        self._clock = clock
        self._ids = ids
        self._under_way: set[tuple[str, str]] = set()
        """API key id and idempotency key of the runs in this container: their repeats need not try to claim the row."""

    async def read(self, api_key_id: str, name: str) -> KeyedRun | None:
        """Return the newest run of an idempotency key; None: it is unused."""
        return await self._keys.get(api_key_id, key_digest(name))

    async def make(
        self, key: IssuedKey, draft: Draft, given: Idempotent, *, check: Awaitable[IssuedKey] | None = None
    ) -> KeyedAnswer:
        """Make the memo of an idempotency key, or return the one that was made.

        Raises the errors of `MemoService.make`, after which the key can be used again at once; FirstStillRunning; and
        Conflict if the key was used with another body.
        """
        reading = given.reading or self.read(key.id, given.name)
        if check is None:
            seen = await reading
        else:
            key, seen = await gather_settled(check, reading)
        body = body_digest(draft)
        for _ in range(LOOKS):
            if seen is not None and not seen.is_free:
                answer = await self._replayed(key, draft, seen, body)
                if answer is not None:
                    return answer
            if (key.id, given.name) in self._under_way:
                raise FirstStillRunning
            self._under_way.add((key.id, given.name))
            try:
                memo, allowance = await self._making.make(key, draft, turn=self._turn(key, draft, given, seen, body))
            except FirstStillRunning:  # another container was faster
                seen = await self.read(key.id, given.name)
            else:
                return KeyedAnswer(memo=memo, allowance=allowance, is_replay=False)
            finally:
                self._under_way.discard((key.id, given.name))
        raise FirstStillRunning

    async def _replayed(self, key: IssuedKey, draft: Draft, seen: KeyedRun, body: str) -> KeyedAnswer | None:
        """Return the first result; None: no run has made one, and a new run may begin.

        Raises Conflict if the body differs, FirstStillRunning if a run may be under way.
        """
        if seen.body != body:
            raise Conflict("Idempotency-Key was used with another body")
        at = self._clock()
        memo, log, quota = await gather_settled(
            self._memos.get(key.user_id, seen.memo_id),
            self._logs.get_of_memo(key.user_id, seen.memo_id),
            self._quotas.now(key, self._making.owner, at),
        )
        if memo is None and not _is_deleted(log):
            if seen.failure is None and at - seen.began_at < RUN_S:
                raise FirstStillRunning
            # The owner may have deleted the memo between the two reads. A deletion marks the log first.
            log = await self._logs.get_of_memo(key.user_id, seen.memo_id)
        if memo is not None:
            if log is None:  # the run died between memo and log, or is about to write the log
                await self._recorder.record_memo(memo, key)
            audio_url, seconds, is_long = memo.audio_url, memo.duration_seconds, memo.is_long
        elif log is not None and _is_deleted(log):
            audio_url, is_long = log[MEMO_DELETED]["audio_url"], log[MEMO_DELETED]["is_long"]
            seconds = log["metadata"]["audioSeconds"]
        else:
            return None
        names = MemoNames(memo_id=seen.memo_id, file=seen.file, created_at=seen.created_at)
        first = draft.memo(
            names,
            user_id=key.user_id,
            api_key_id=key.id,
            audio_url=audio_url,
            seconds=seconds,
            is_long=is_long,
        )
        return KeyedAnswer(memo=first, allowance=quota.day, is_replay=True, is_deleted=memo is None)

    def _turn(self, key: IssuedKey, draft: Draft, given: Idempotent, seen: KeyedRun | None, body: str) -> "Turn":
        """Return the next run. It keeps the names of an earlier run that may have written, or may still write."""
        at = self._clock()
        run = self._ids.mint(at)
        if seen is None or seen.is_free:
            next_run = KeyedRun(
                run=run,
                began_at=at,
                memo_id=self._ids.mint(at),
                file=new_file(key.user_id, draft.format),
                created_at=at,
                body=body,
                is_bound=False,
            )
        else:
            next_run = seen.model_copy(update={"run": run, "began_at": at, "is_bound": True})
        digest = key_digest(given.name)
        return Turn(self._keys, api_key_id=key.id, digest=digest, run=next_run, after=seen, beside=given.beside)


class Turn:
    """One run of an idempotency key, from the change of the row that begins it to its end."""

    def __init__(
        self,
        keys: IdempotencyKeys,
        *,
        api_key_id: str,
        digest: str,
        run: KeyedRun,
        after: KeyedRun | None,
        beside: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._keys = keys
        self._beside = beside
        self._api_key_id = api_key_id
        self._digest = digest
        self._run = run
        self._after = after
        self._may_hold = False
        self.names = MemoNames(memo_id=run.memo_id, file=run.file, created_at=run.created_at)
        self.is_bound = run.is_bound
        self.is_new = after is None

    async def begin(self) -> None:
        """Begin the run, beside the memo's reservation. Raises FirstStillRunning if another run was faster."""
        self._may_hold = True
        begun = self._keys.begin(self._api_key_id, self._digest, self._run, after=self._after)
        try:
            await (begun if self._beside is None else gather_settled(begun, self._beside()))
        except AlreadyExists as exc:
            self._may_hold = False
            raise FirstStillRunning from exc

    async def free(self, *, wrote: bool) -> None:
        """Let the next run begin at once. A failure is logged; then the next run begins after RUN_S.

        `wrote`: the memo may exist, or its write may still arrive, so the next run keeps its names.
        """
        if self._may_hold:
            failure = Failure.IN_WRITES if wrote else Failure.BEFORE_WRITES
            with best_effort("an idempotency key stays taken for a minute", key_id=self._api_key_id), time_to_undo():
                await self._keys.fail(self._api_key_id, self._digest, self._run.run, failure)


def _is_deleted(log: Document | None) -> bool:
    return log is not None and MEMO_DELETED in log


def key_digest(name: str) -> str:
    """Return the stored form of an idempotency key: 128 bits of its SHA-256. So a key may have any characters."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def body_digest(draft: Draft) -> str:
    """Return the SHA-256 of a request's fields. An absent field and one with its default give the same digest.

    A new field must be left out here while it has its default: else repeats from before its introduction are refused.
    """
    asked = {"text": draft.text, "voice": draft.voice.id, "title": draft.title, "format": draft.format}
    defaults = {"title": None, "format": Draft.format}
    told = {name: value for name, value in asked.items() if name not in defaults or value != defaults[name]}
    return hashlib.sha256(serialised(told).encode()).hexdigest()
