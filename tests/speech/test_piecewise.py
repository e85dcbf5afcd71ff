"""Pieces under leases: found, bought, awaited, and given back by workers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from math import inf
from pathlib import Path

import pytest

from shared.audio.files import Area, NameTaken, lease, making, new_file, piece
from shared.audio.folder import FolderFiles
from shared.core.errors import SpeechFailed
from shared.speech.piecewise import AT_ONCE, LEASE_S, NotWanted, Piecewise, Unfinished
from shared.speech.voices import VOICES
from tests.fakes.long_memos import ToneVoices, tone
from tests.support import FakeClock

pytestmark = pytest.mark.anyio

TEXTS = [f"This is piece {number}." for number in range(6)]


class Workers:
    """Workers on one file of a folder. Time passes only when one of them waits."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.files = FolderFiles(folder)
        self.clock = clock
        self.voices = ToneVoices()
        self.file = new_file("somebody")

    def worker(self) -> Piecewise:
        return Piecewise(self.files, clock=self.clock, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    async def said(self, *, time_left_s: Callable[[], float] = lambda: inf) -> list[bytes]:
        asked = self.worker().said(
            self.voices, TEXTS, VOICES["sam"], file=self.file, form="mp3", time_left_s=time_left_s
        )
        return list(await asked)


@pytest.fixture
async def workers(clock: FakeClock, tmp_path: Path) -> Workers:
    workers = Workers(tmp_path, clock)
    await workers.files.put(making(workers.file), b"")
    return workers


async def test_pieces_come_in_the_order_of_the_text(workers: Workers) -> None:
    assert await workers.said() == [tone(len(text) // 10 / 10).audio for text in TEXTS]
    assert await workers.said() == await workers.said()
    assert dict(workers.voices.bought) == dict.fromkeys(TEXTS, 1)


@pytest.mark.parametrize("byte", [b"\0", b"x", b"\xff"])
async def test_piece_of_another_text_is_bought_anew(workers: Workers, byte: bytes) -> None:
    """A stored piece of another cut, or of another voice, is no part of this file."""
    await workers.files.put(piece(workers.file, 2), byte * 32 + b"something else")
    await workers.said()
    assert workers.voices.bought[TEXTS[2]] == 1


async def test_worker_that_stops_for_longer_than_its_lease(workers: Workers) -> None:
    """Its piece is bought again, by the next worker; both use the piece that was stored first."""
    stopped, stalled = asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        workers.voices.before = None
        stopped.set()
        workers.clock.advance(timedelta(seconds=LEASE_S + 1))
        await stalled.wait()

    workers.voices.before = stop
    first = asyncio.create_task(workers.said())
    await stopped.wait()
    second = await workers.said()
    stalled.set()
    assert await first == second
    twice = [text for text, times in workers.voices.bought.items() if times > 1]
    assert len(twice) <= AT_ONCE
    assert max(workers.voices.bought.values()) == 2


async def test_dead_workers_lease_is_waited_for(workers: Workers) -> None:
    """The next worker waits for the lease's end, and takes the next lease of the piece."""
    until = workers.clock.at.timestamp() + LEASE_S
    await workers.files.put(lease(workers.file, 0, 0), b'{"until": %f, "by": "dead"}' % until)
    began = workers.clock.at
    await workers.said()
    assert (workers.clock.at - began).total_seconds() == pytest.approx(LEASE_S, abs=3)
    assert await workers.files.head(lease(workers.file, 0, 1)) is not None


async def test_no_piece_is_begun_after_a_failure(workers: Workers) -> None:
    """Pieces in progress are stored, and the failed one's lease is given back; the rest is left for the next worker."""
    workers.voices.fails = lambda text: text == TEXTS[0]
    with pytest.raises(SpeechFailed):
        await workers.said()
    assert set(workers.voices.bought) <= set(TEXTS[1 : AT_ONCE + 1])
    assert await workers.files.head(lease(workers.file, 0, 0)) is None


async def test_lease_that_ended_is_not_given_back(workers: Workers) -> None:
    """Another worker may have the piece's next lease by then: with the first one free, a third would buy it too."""

    async def stall() -> None:
        workers.clock.advance(timedelta(seconds=LEASE_S))

    workers.voices.before, workers.voices.fails = stall, lambda _: True
    with pytest.raises(SpeechFailed):
        await workers.said()
    assert await workers.files.head(lease(workers.file, 0, 0)) is not None


async def test_piece_that_another_kept_meanwhile_counts(workers: Workers) -> None:
    """A file consists of the stored pieces, of any worker, so that all workers make the same file."""
    digest = b""

    async def outrun() -> None:
        workers.voices.before = None
        await workers.files.put(piece(workers.file, 0), digest + b"said by another")

    await workers.said()
    kept = await workers.files.read(piece(workers.file, 0))
    assert kept is not None
    digest = kept[:32]
    await workers.files.delete([piece(workers.file, 0), lease(workers.file, 0, 0)])
    workers.voices.before = outrun
    assert (await workers.said())[0] == b"said by another"


class GivenBack(FolderFiles):
    """A folder where held leases are given back just before they are read."""

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        if name.startswith(f"{Area.LEASES}/"):
            await self.delete([name])
        return await super().read(name, start=start, end=end)


async def test_lease_that_was_given_back_is_taken_itself(clock: FakeClock, tmp_path: Path) -> None:
    """A worker takes this lease, not the next: otherwise a third worker could take it, and buy the piece too."""
    workers = Workers(tmp_path, clock)
    workers.files = GivenBack(tmp_path)
    await workers.files.put(making(workers.file), b"")
    await workers.files.put(lease(workers.file, 0, 0), b'{"until": 0, "by": "another"}')
    began = workers.clock.at
    await workers.said()
    assert workers.clock.at == began, "nothing was waited for"
    assert await workers.files.head(lease(workers.file, 0, 0)) is not None
    assert await workers.files.head(lease(workers.file, 0, 1)) is None


class AllLeased(FolderFiles):
    """A folder where a worker that died long ago holds every lease."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []

    async def put(self, name: str, content: bytes) -> None:
        if name.startswith(f"{Area.LEASES}/"):
            self.asked.append(name)
            raise NameTaken(name)
        await super().put(name, content)

    async def read(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        if name.startswith(f"{Area.LEASES}/"):
            return b'{"until": 0, "by": "dead"}'
        return await super().read(name, start=start, end=end)


async def test_piece_that_had_all_its_leases_is_not_bought(clock: FakeClock, tmp_path: Path) -> None:
    """After a thousand dead workers the piece is only awaited until the deadline, as if another worker had it."""
    workers = Workers(tmp_path, clock)
    workers.files = files = AllLeased(tmp_path)
    await files.put(making(workers.file), b"")
    left_s = iter([inf, inf])
    with pytest.raises(Unfinished):
        await workers.said(time_left_s=lambda: next(left_s, 0.0))
    assert not workers.voices.bought
    assert sorted(set(files.asked))[:1000] == [lease(workers.file, 0, turn) for turn in range(1000)]


async def test_file_that_is_not_made_any_more_buys_nothing(workers: Workers) -> None:
    """A missing mark means that the memo has an outcome: the taken lease is given back."""
    await workers.files.delete([making(workers.file)])
    with pytest.raises(NotWanted):
        await workers.said()
    assert not workers.voices.bought
    assert (await workers.files.page("leases/")).held == []


async def test_time_that_does_not_suffice_begins_nothing(workers: Workers) -> None:
    with pytest.raises(Unfinished) as unfinished:
        await workers.said(time_left_s=lambda: 1.0)
    assert (unfinished.value.bought, dict(workers.voices.bought)) == (0, {})


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_unfinished_says_how_many_pieces_were_bought(workers: Workers, count: int) -> None:
    """The next worker finds these, and buys the rest."""
    left_s = iter([inf] * count)
    with pytest.raises(Unfinished) as unfinished:
        await workers.said(time_left_s=lambda: next(left_s, 0.0))
    assert unfinished.value.bought == sum(workers.voices.bought.values()) == count
    await workers.said()
    assert dict(workers.voices.bought) == dict.fromkeys(TEXTS, 1)
