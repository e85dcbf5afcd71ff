"""Making memos: a key's owner is charged, text becomes speech, and the memo is kept."""

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.activity import UsageRecorder
from shared.core.clock import Clock
from shared.core.concurrency import gather_settled
from shared.core.errors import (
    AgentTalkError,
    DailyLimitExceeded,
    InternalError,
    InvalidCredential,
    ServiceUnavailable,
    SpeechFailed,
    ValidationFailed,
)
from shared.core.ids import Ids
from shared.core.text import characters
from shared.limits.attempts import Attempts
from shared.limits.quotas import Allowance, Quotas
from shared.limits.reservation import Reservation
from shared.observability import request_stats
from shared.plans import PLANS
from shared.speech.simulated import SimulatedSpeech
from shared.speech.synthesizer import Synthesizer
from shared.speech.voices import Voice
from shared.stores.best_effort import best_effort
from shared.stores.port import StoreError, StoreUnavailable
from shared.tables import ApiKeys, Memos, Users, uses_counter
from shared.tables.api_keys import IssuedKey
from shared.tables.memos import Memo
from shared.tables.usage_logs import Action
from shared.tables.users import User

MAX_CHARACTERS: Final = 100_000
"""A memo's text, on any plan."""

_KEYS_REMEMBERED: Final = 1024

_log = logging.getLogger("agent_talk.memos")


@dataclass(frozen=True, kw_only=True)
class Draft:
    text: str
    voice: Voice
    title: str | None = None


class MemoService:
    """`speech` speaks for live keys; test keys and demos are simulated."""

    def __init__(
        self,
        *,
        users: Users,
        keys: ApiKeys,
        memos: Memos,
        quotas: Quotas,
        attempts: Attempts,
        recorder: UsageRecorder,
        speech: Synthesizer,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._users = users
        self._keys = keys
        self._memos = memos
        self._quotas = quotas
        self._attempts = attempts
        self._recorder = recorder
        self._speech = speech
        self._clock = clock
        self._ids = ids
        self._simulated = SimulatedSpeech()
        self._marked: OrderedDict[str, datetime] = OrderedDict()

    async def make(self, key: IssuedKey, draft: Draft) -> tuple[Memo, Allowance]:
        """Make a memo and keep it. Returns it with what is left of the day's limit.

        Raises MonthlyLimitExceeded, DailyLimitExceeded, ValidationFailed when the text is too long for the plan, and
        SpeechFailed; then nothing is charged and nothing is kept. What is not the caller's fault is recorded.
        """
        at = self._clock()
        reservation = self._quotas.reservation()
        try:
            quota_of, user, _ = await gather_settled(
                self._quotas.count(reservation, key, at),
                self._users.get(key.user_id),
                self._recorder.note_active(key.user_id, at),
            )
            if user is None:
                raise InvalidCredential("Invalid API key")
            quota = quota_of(user)
            quota.enforce(at)
            _check_length(draft, user)
            speech = self._simulated if key.is_test else self._speech
            memo = await self._speak(draft, user.id, at, speech, api_key_id=key.id)
            await self._keep(memo, key, reservation)
            request_stats.current().memos += 1
        except DailyLimitExceeded as exc:
            await reservation.give_back()
            await self._record_refusal(key, draft, at, exc)
            raise
        except BaseException as exc:
            await gather_settled(reservation.give_back(), self._record_failure(key, draft, at, exc))
            raise
        return memo, quota.day

    async def demo(self, draft: Draft, *, address: str) -> Memo:
        """A simulated memo that is not kept. Raises TooManyAttempts."""
        await self._attempts.demo(address).begin()
        return await self._speak(draft, "demo", self._clock(), self._simulated)

    async def _speak(
        self, draft: Draft, user_id: str, at: datetime, speech: Synthesizer, *, api_key_id: str | None = None
    ) -> Memo:
        began = time.perf_counter()
        try:
            spoken = await speech.speak(draft.text, draft.voice)
        finally:
            if speech is not self._simulated:
                request_stats.current().spoke(1000 * (time.perf_counter() - began))
        return Memo(
            id=self._ids.mint(at),
            user_id=user_id,
            api_key_id=api_key_id,
            text=draft.text,
            audio_url=spoken.audio_url,
            duration_seconds=spoken.duration_seconds,
            voice=draft.voice.id,
            character_count=characters(draft.text),
            title=draft.title,
            created_at=at,
        )

    async def _keep(self, memo: Memo, key: IssuedKey, reservation: Reservation) -> None:
        try:
            await gather_settled(
                self._memos.add(memo),
                reservation.take(uses_counter(key)),
                self._recorder.record_memo(memo, key),
                self._mark_used(key, memo.created_at),
            )
        except BaseException:
            await gather_settled(self._discard(memo), self._recorder.retract_memo(memo.user_id, memo.id))
            raise

    async def _discard(self, memo: Memo) -> None:
        """A memo that failed half-way may be there all the same: its owner was told that it is not."""
        with best_effort("a memo that failed could not be removed", memo_id=memo.id):
            await self._memos.delete(memo)

    async def _mark_used(self, key: IssuedKey, at: datetime) -> None:
        """Keep the minute of the key's last use: once a minute, and no reason to fail a memo."""
        minute = at.replace(second=0, microsecond=0)
        if self._marked.get(key.id) == minute:
            return
        self._marked[key.id] = minute
        self._marked.move_to_end(key.id)
        if len(self._marked) > _KEYS_REMEMBERED:
            self._marked.popitem(last=False)
        try:
            await self._keys.mark_used(key.user_id, key.id, minute)
        except StoreError:
            self._marked.pop(key.id, None)
            _log.exception("a key's last use could not be kept", extra={"key_id": key.id})

    async def _record_refusal(self, key: IssuedKey, draft: Draft, at: datetime, refusal: DailyLimitExceeded) -> None:
        """Record the first refusal of a window."""
        with best_effort("a refusal could not be counted", user_id=key.user_id):
            if await self._quotas.refused(key, at, refusal) == 1:
                await self._record(Action.ERROR_RATE_LIMIT, key, draft, at, code=refusal.code)

    async def _record_failure(self, key: IssuedKey, draft: Draft, at: datetime, failure: BaseException) -> None:
        """Record what answers 5xx, as a failed memo and as an error of its kind."""
        match failure:
            case AgentTalkError():
                code = failure.code
                if failure.status < 500:
                    return
            case StoreUnavailable():
                code = ServiceUnavailable.code
            case Exception():
                code = InternalError.code
            case _:  # cancelled
                return
        kind = Action.ERROR_TTS if isinstance(failure, SpeechFailed) else Action.ERROR_API
        await gather_settled(
            *(self._record(action, key, draft, at, code=code) for action in (Action.MEMO_FAILED, kind))
        )

    async def _record(self, action: Action, key: IssuedKey, draft: Draft, at: datetime, *, code: str) -> None:
        metadata = {
            "code": code,
            "voice": draft.voice.id,
            "characters": characters(draft.text),
            "test": key.is_test,
        }
        await self._recorder.try_record(action, user_id=key.user_id, at=at, key=key, metadata=metadata)


def _check_length(draft: Draft, user: User) -> None:
    limit, provided = PLANS[user.tier].limits.chars_per_memo, characters(draft.text)
    if limit is not None and provided > limit:
        raise ValidationFailed(
            f"Text exceeds the {limit} characters of the {user.tier} tier",
            details={"field": "text", "limit": limit, "provided": provided, "tier": user.tier.value},
        )
