"""A long text, said piece by piece, by one worker or several: each piece is bought once, and kept until all are said.

| object | content |
|---|---|
| `leases/<file>-00007-000` | `{"until": 1764331200.0, "by": "9f0c…"}`: the end in epoch seconds, and the worker |
| `pieces/<file>-00007` | 32 bytes of SHA-256 of adapter, voice and text, then the audio |

A worker takes a lease of a piece, calls the adapter, and keeps the audio. If it dies in between, or stops for longer
than its lease, the next worker buys that piece again; no other piece is bought twice. The clocks of two workers may
differ by a lease less a call's time: half a minute.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.audio.files import AudioFiles, NameTaken, lease, making, piece
from shared.core.clock import Clock, utc_now
from shared.core.concurrency import gather_settled
from shared.speech.synthesizer import VoiceAdapter
from shared.speech.voices import Voice

LEASE_S: Final = 60.0
"""Seconds of a lease: longer than a call and keeping its audio. With a longer one a dead worker's memo waits longer."""

CALL_S: Final = 25.0
"""Seconds that a piece needs to be begun: an adapter's call ends within 10, and keeping the audio within 8."""

WAIT_S: Final = 2.0
"""Seconds between two reads of a piece that another worker is saying."""

AT_ONCE: Final = 2
"""Pieces at the same time, fewer than any provider's plan allows. More would take turns from memos of requests."""

_DIGEST_BYTES: Final = 32
_TURNS: Final = 1000
"""The most leases of one piece: their names have three digits."""


class Unfinished(Exception):
    """The time is up, and pieces are missing. `bought` is the number that this call added."""

    def __init__(self, bought: int) -> None:
        super().__init__(f"pieces are missing, and {bought} were added")
        self.bought = bought


class NotWanted(Exception):
    """The file is no longer being made: it is ready, failed, or was deleted."""


class Piecewise:
    def __init__(
        self,
        files: AudioFiles,
        *,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        token: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._files = files
        self._leases = _Leases(files, clock, token)
        self._sleep = sleep

    async def said(
        self,
        adapter: VoiceAdapter,
        texts: Sequence[str],
        voice: Voice,
        *,
        file: str,
        form: str,
        time_left_s: Callable[[], float],
    ) -> Sequence[bytes]:
        """Return the audio of each text, in order. Buys the pieces that no worker has bought.

        Raises Unfinished, NotWanted, AudioPlaceFailed, and the adapter's errors. After a failure no further piece is
        begun, and pieces under way are kept.
        """
        work = _Work(adapter=adapter, voice=voice, file=file, form=form, time_left_s=time_left_s)
        parts = await asyncio.gather(
            *(self._one(work, number, text) for number, text in enumerate(texts)), return_exceptions=True
        )
        failures = [part for part in parts if isinstance(part, BaseException)]
        if failures:
            raise next((failure for failure in failures if not isinstance(failure, _Stopped)), Unfinished(work.bought))
        return [part for part in parts if isinstance(part, bytes)]

    async def _one(self, work: "_Work", number: int, text: str) -> bytes:
        digest = hashlib.sha256(f"{type(work.adapter).__name__}\n{work.voice.id}\n{text}".encode()).digest()
        async with work.turns:
            try:
                return await self._kept_or_bought(work, number, text, digest)
            except BaseException:
                work.is_stopped = True
                raise

    async def _kept_or_bought(self, work: "_Work", number: int, text: str, digest: bytes) -> bytes:
        while True:
            kept = await self._kept(work, number, digest)
            if kept is not None:
                return kept
            if work.is_stopped or work.time_left_s() < CALL_S:
                raise _Stopped
            held = await self._leases.take(work.file, number)
            if held is None:
                await self._sleep(WAIT_S)
            else:
                bought = await self._bought(work, number, text, digest, held)
                if bought is not None:
                    return bought

    async def _kept(self, work: "_Work", number: int, digest: bytes) -> bytes | None:
        """Return a piece that was kept; None: absent. Deletes a piece of another text, as an older version cut it."""
        name = piece(work.file, number)
        content = await self._files.read(name)
        if content is None or content[:_DIGEST_BYTES] == digest:
            return None if content is None else content[_DIGEST_BYTES:]
        await self._files.delete([name])
        return None

    async def _bought(self, work: "_Work", number: int, text: str, digest: bytes, held: "_HeldLease") -> bytes | None:
        """Say a piece under a lease, and keep it. None: another worker has kept one meanwhile."""
        kept, mark = await gather_settled(self._kept(work, number, digest), self._files.head(making(work.file)))
        if kept is not None:
            return kept
        if mark is None:
            await self._leases.give_back(held)
            raise NotWanted
        try:
            spoken = await work.adapter.speak(text, work.voice, form=work.form)
        except Exception:
            await self._leases.give_back(held)
            raise
        work.bought += 1
        try:
            await self._files.put(piece(work.file, number), digest + spoken.audio)
        except NameTaken:
            return None
        return spoken.audio


@dataclass(kw_only=True)
class _Work:
    """One pass over the pieces of one file."""

    adapter: VoiceAdapter
    voice: Voice
    file: str
    form: str
    time_left_s: Callable[[], float]
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    bought: int = 0
    is_stopped: bool = False


@dataclass(frozen=True, kw_only=True)
class _HeldLease:
    """A lease of this worker. `until` is in epoch seconds."""

    name: str
    until: float


class _Leases:
    def __init__(self, files: AudioFiles, clock: Clock, token: Callable[[], str]) -> None:
        self._files = files
        self._clock = clock
        self._token = token

    async def take(self, file: str, number: int) -> _HeldLease | None:
        """Take the lease of a piece; None: another worker has one that has not ended."""
        turn = 0
        while turn < _TURNS:
            held = _HeldLease(name=lease(file, number, turn), until=self._now() + LEASE_S)
            try:
                await self._files.put(held.name, json.dumps({"until": held.until, "by": self._token()}).encode())
            except NameTaken:
                other = await self._files.read(held.name)
                if other is None:  # given back meanwhile
                    continue
                if self._now() < json.loads(other)["until"]:
                    return None
                turn += 1
            else:
                return held
        return None

    async def give_back(self, held: _HeldLease) -> None:
        """Delete a lease, so that the next worker can take one at once.

        A lease that has ended stays: another worker may hold the next one.
        """
        if self._now() < held.until:
            await self._files.delete([held.name])

    def _now(self) -> float:
        return self._clock().timestamp()


class _Stopped(Exception):
    """A piece was not begun, since the time is up or another piece failed."""
