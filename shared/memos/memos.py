"""Making memos: the owner's place is reserved, text becomes speech, and the memo is written."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import datetime
from typing import Final

from shared.activity import UsageRecorder
from shared.audio.files import delete_file, is_file, making, new_file
from shared.audio.opening import AudioPlace
from shared.core.clock import Clock
from shared.core.concurrency import gather_settled
from shared.core.errors import InvalidCredential, SpeechFailed, ValidationFailed
from shared.core.ids import Ids
from shared.core.text import characters
from shared.jobs.queue import MemoQueue, QueueFailed
from shared.limits.attempts import Attempts
from shared.limits.quotas import Admission, Allowance, Quotas
from shared.memos.admissible import check_length, check_voices, is_quick, takes
from shared.memos.endings import LongMemoEndings
from shared.memos.failures import FailedMemos
from shared.memos.last_uses import LastUses
from shared.memos.requests import Draft, MemoNames, MemoRequest, MemoTurn
from shared.observability import request_stats
from shared.plans import PLANS
from shared.speech.opening import Speakers
from shared.speech.reading import read_text
from shared.speech.simulated import SimulatedSpeech
from shared.speech.synthesizer import Synthesizer, estimated_s
from shared.tables import Tables, uses_counter
from shared.tables.issued_keys import IssuedKey
from shared.tables.long_memos import LongMemo, Place
from shared.tables.memos import AudioStatus, Memo
from shared.tables.users import User

MAX_CHARACTERS: Final = 100_000
"""The most characters of a memo's text, on any plan."""

FITS_ANY_PLAN: Final = min(plan.limits.chars_per_memo or MAX_CHARACTERS for plan in PLANS.values())
"""Characters that no plan refuses. With a longer text the owner's plan is read before a place is reserved."""


class MemoService:
    """Makes and deletes memos. `speakers` are the voices of live keys; memos of test keys and demos are simulated."""

    def __init__(
        self,
        tables: Tables,
        *,
        quotas: Quotas,
        attempts: Attempts,
        recorder: UsageRecorder,
        speakers: Speakers,
        audio: AudioPlace,
        endings: LongMemoEndings,
        queue: MemoQueue,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._users = tables.users
        self._last_uses = LastUses(tables.api_keys)
        self._memos = tables.memos
        self._long_memos = tables.long_memos
        self._quotas = quotas
        self._attempts = attempts
        self._recorder = recorder
        self._failures = FailedMemos(memos=tables.memos, long_memos=tables.long_memos, quotas=quotas, recorder=recorder)
        self._speakers = speakers
        self._audio = audio
        self._endings = endings
        self._queue = queue
        self._clock = clock
        self._ids = ids
        self._simulated = SimulatedSpeech()

    async def make(
        self,
        key: IssuedKey,
        draft: Draft,
        *,
        check: Awaitable[IssuedKey] | None = None,
        turn: MemoTurn | None = None,
    ) -> tuple[Memo, Allowance]:
        """Make a memo, store it, and return it with what is left of the day's limit.

        A quick text is ready then; a longer one is queued. `check` is the key's check, if it is still under way: no
        text is said and no memo written before it succeeds, and its error takes precedence over all others. Raises
        MonthlyLimitExceeded, DailyLimitExceeded, ValidationFailed if the text is too long for the plan or nothing in it
        can be said, SpeechFailed and AudioStoreFailed; then nothing is charged and nothing is kept. Failures that
        answer 5xx, and the first refusal of a window, are recorded.

        `turn` is the run of an idempotency key that makes the memo: see `FailedMemos.undone`. Raises FirstStillRunning
        if another run makes or has made it.
        """
        at = self._clock()
        request = MemoRequest(
            names=self._new_names(key.user_id, draft, at) if turn is None else turn.names,
            key=key,
            draft=draft,
            at=at,
            reservation=self._quotas.reservation(),
            turn=turn,
        )
        async with self._failures.undone(request):
            admission = await self._admit(request, check)
            speaker = self._speaker(request.key, admission.user)
            if is_quick(speaker, request.readings[speaker]):
                memo = await self._speak(request, speaker)
                await self._keep(memo, request, admission)
            else:
                memo = _memo(request, f"/audio/{request.names.file}", estimated_s(draft.text), is_long=True)
                await self._begin(memo, request, admission, speaker)
        request_stats.current().memos += 1
        return memo, admission.quota.day

    async def demo(self, draft: Draft, *, address: str) -> Memo:
        """Return a simulated memo that is not kept. Raises TooManyAttempts."""
        await self._attempts.demo(address).begin()
        speech = await self._simulated.speak(draft.text, draft.voice, file="")
        names = self._new_names("demo", draft, self._clock())
        return draft.memo(
            names, user_id="demo", api_key_id=None, audio_url=speech.audio_url, seconds=speech.duration_seconds
        )

    async def delete(self, user_id: str, memo_id: str) -> None:
        """Delete a memo and its audio; it still counts in limits and figures. Raises MemoNotFound, AudioStoreFailed.

        The row is deleted last: after a failure the caller can repeat the request. A memo in processing ends as
        deleted, unless it ended otherwise first.
        """
        memo = await self._memos.load(user_id, memo_id)
        files = self._audio.files
        if memo.status is AudioStatus.PROCESSING and files is not None and await self._endings.delete(files, memo_id):
            return
        await self._recorder.note_deleted(memo)
        file = memo.audio_url.removeprefix("/audio/")
        if is_file(file) and files is not None:
            await delete_file(files, file)
        await self._memos.delete(memo)

    async def _admit(self, request: MemoRequest, check: Awaitable[IssuedKey] | None) -> Admission:
        """Reserve a place beside the key's check, and list the owner as active.

        Housekeeping compares memos with logs for the owners on that list, so it contains the owner before the memo
        exists.
        """
        listed = self._recorder.note_active(request.key.user_id, request.names.created_at)
        if check is None:
            admission, _ = await gather_settled(self._place(request), listed)
        else:
            admission, _ = await gather_settled(self._place_beside(request, check), listed)
        return admission

    async def _place_beside(self, request: MemoRequest, check: Awaitable[IssuedKey]) -> Admission:
        """Reserve a place beside the key's check.

        If the key's limits changed since the last check, reserve again. Without the second reservation the old limits,
        which the container remembers, would apply once more.
        """
        placing = asyncio.gather(self._place(request), return_exceptions=True)
        key, (placed,) = await gather_settled(check, placing)
        remembered, request.key = request.key, key
        if key.limits != remembered.limits:
            await request.reservation.give_back()
            return await self._place(request)
        if isinstance(placed, BaseException):
            raise placed
        return placed

    async def _place(self, request: MemoRequest) -> Admission:
        """Reserve a place for a valid request. A text that could be too long waits for its owner's plan first."""
        owner = asyncio.ensure_future(self.owner(request.key.user_id))
        if characters(request.draft.text) > FITS_ANY_PLAN:
            check_length(request.draft, await owner)
        await self._read(request, owner)
        if request.turn is None:
            return await self._admitted(request, owner)
        if request.turn.is_new:  # else each refusal would leave the row of its run
            length = characters(request.draft.text)
            await self._quotas.refuse_again(request.key, owner, request.at, characters=length)
        _, admission, _ = await gather_settled(request.turn.begin(), self._charge(request, owner), owner)
        return admission

    async def _admitted(self, request: MemoRequest, owner: "asyncio.Future[User]") -> Admission:
        length = characters(request.draft.text)
        return await self._quotas.admit(request.reservation, request.key, owner, request.at, characters=length)

    async def _charge(self, request: MemoRequest, owner: "asyncio.Future[User]") -> Admission:
        """Charge and count the memo before it is written.

        If its run dies, a repeat returns the memo without counting.
        """
        admission = await self._admitted(request, owner)
        await self._count(request, admission)
        return admission

    async def _count(self, request: MemoRequest, admission: Admission) -> None:
        await gather_settled(
            request.reservation.take(uses_counter(request.key)),
            self._quotas.count_month(request.reservation, admission),
        )

    async def owner(self, user_id: str) -> User:
        """Return the owner of a key. Raises InvalidCredential if the account was closed or erased."""
        user = await self._users.get(user_id)
        if user is None or user.is_closing:
            raise InvalidCredential("Invalid API key")
        return user

    async def _read(self, request: MemoRequest, owner: Awaitable[User]) -> None:
        """Store in the request the reading of each adapter that may say the text.

        Raises ValidationFailed if the reading of the owner's adapter is empty, or if it cannot make the format. The
        owner is awaited only if one of the adapters would refuse.
        """
        speakers = (self._simulated,) if request.key.is_test else self._speakers.all
        for speaker in speakers:
            request.readings[speaker] = await read_text(speaker, request.draft.text)
        if all(reading and takes(speaker, request.draft, reading) for speaker, reading in request.readings.items()):
            return
        speaker = self._speaker(request.key, await owner)
        check_voices(speaker, request.draft, request.readings[speaker])
        if not request.readings[speaker]:
            raise ValidationFailed("Nothing in the text can be said", details={"field": "text"})

    def _speaker(self, key: IssuedKey, owner: User) -> Synthesizer:
        return self._simulated if key.is_test else self._speakers.of(owner.tier)

    async def _speak(self, request: MemoRequest, speaker: Synthesizer) -> Memo:
        request.speaker, file = speaker, request.names.file
        began = time.perf_counter()
        try:
            kept = await speaker.kept(file) if request.turn is not None and request.turn.is_bound else None
            speech = kept or await speaker.speak(request.readings[speaker], request.draft.voice, file=file)
        finally:
            if not request.key.is_test:
                request_stats.current().spoke(1000 * (time.perf_counter() - began))
        return _memo(request, speech.audio_url, speech.duration_seconds)

    def _new_names(self, user_id: str, draft: Draft, at: datetime) -> MemoNames:
        return MemoNames(memo_id=self._ids.mint(at), file=new_file(user_id, draft.format), created_at=at)

    async def _keep(self, memo: Memo, request: MemoRequest, admission: Admission) -> None:
        """Write the memo, its log and its counts. When this returns, all of them are stored."""
        request.memo = memo
        await gather_settled(
            self._memos.add(memo),
            self._recorder.record_memo(memo, request.key),
            self._last_uses.mark(request.key, request.at),
            *([self._count(request, admission)] if request.turn is None else []),
        )

    async def _begin(self, memo: Memo, request: MemoRequest, admission: Admission, speaker: Synthesizer) -> None:
        """Charge a long memo, list it, write it, and queue it, in this order.

        So after a crash between any two steps, a memo that its owner sees is in the list, has its mark in the audio
        place, and is charged in full. Raises AudioPlaceFailed, and SpeechFailed if the queue does not accept the memo.
        """
        files = self._audio.files
        assert files is not None, "without a place of audio every text is simulated, and quick"
        if request.turn is None:
            await self._count(request, admission)
        row = LongMemo(
            memo_id=memo.id,
            user_id=memo.user_id,
            file=request.names.file,
            speech=speaker.provider,
            places=tuple(Place.of(bound) for bound in request.reservation.taken),
            created_at=memo.created_at,
            sent_at=request.at,
            keyed_at=None if request.turn is None else request.at,
        )
        request.is_listed = True
        if request.turn is None:  # its failure removes the listing too; a keyed run has written nothing before the memo
            request.speaker, request.memo = speaker, memo
        is_again = request.turn is not None and request.turn.is_bound
        listed = self._long_memos.add_again(row) if is_again else self._long_memos.add(row)
        await gather_settled(listed, files.put(making(request.names.file), b""))
        request.speaker, request.memo = speaker, memo
        await gather_settled(
            self._memos.add(memo),
            self._recorder.record_memo(memo, request.key),
            self._last_uses.mark(request.key, request.at),
        )
        try:
            await self._queue.send(memo.id)
        except QueueFailed as exc:
            raise SpeechFailed("The text could not be queued", details={"provider": speaker.provider}) from exc


def _memo(request: MemoRequest, audio_url: str, seconds: float, *, is_long: bool = False) -> Memo:
    return request.draft.memo(
        request.names,
        user_id=request.key.user_id,
        api_key_id=request.key.id,
        audio_url=audio_url,
        seconds=seconds,
        is_long=is_long,
    )
