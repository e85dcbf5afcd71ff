# ruff: noqa: ASYNC240 nothing else runs in these loops
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from shared.stores.memory.file import shared_rows
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Bound, Key, Store, StoreNotReady, StoreUnavailable
from tests.contract.cases import CHANGING, FACTS, RACERS, REGISTERS, TABLES, appending
from tests.contract.store import StoreContract
from tests.support import Refused, outcomes, refuse, seeded_pause

pytestmark = pytest.mark.anyio

_RACER = """
import asyncio, sys
from pathlib import Path
from shared.stores.memory.store import MemoryStore
from shared.stores.memory.file import shared_rows
from shared.stores.port import AlreadyExists, Key
from tests.contract.cases import CHANGING, appending

async def main(path, me):
    store = MemoryStore(rows=shared_rows(Path(path)))
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    for number in range(25):
        await store.increment("c")
        await store.update(CHANGING, Key("all"), appending(f"{me}.{number}"))
        try:
            await store.claim(CHANGING, Key("claims", str(number)), {"by": me})
            won.append(number)
        except AlreadyExists:
            pass
    print(*won)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.json"


def opened(path: Path) -> MemoryStore:
    return MemoryStore(rows=shared_rows(path))


class TestMemoryFileStore(StoreContract):
    counters_of_several_reads = 2 * RACERS
    """Fewer than elsewhere: a file has no limit of a read, and each write rewrites all of it."""

    @pytest.fixture
    def store(self, path: Path, seed: int) -> Store:
        return MemoryStore(rows=shared_rows(path), pause=seeded_pause(seed))


async def test_file_keeps_rows_for_the_next_store(path: Path) -> None:
    """A new store on a file has the rows and counters of an earlier one."""
    store = opened(path)
    await store.add(FACTS, Key("p", "x"), {"text": "ÿ\x00👩\u2028"})
    await store.put(REGISTERS, Key("p"), {"a": 1})
    await store.increment("c", 3)
    later = opened(path)
    assert await later.get(FACTS, Key("p", "x")) == {"text": "ÿ\x00👩\u2028"}
    assert await later.get(REGISTERS, Key("p")) == {"a": 1}
    assert await later.counters("c") == {"c": 3}


WRITES: Final[dict[str, Callable[[Store], Awaitable[object]]]] = {
    "add": lambda store: store.add(FACTS, Key("p", "y"), {}),
    "take_back": lambda store: store.take_back(FACTS, Key("p", "x")),
    "extend": lambda store: store.extend(FACTS, Key("p", "x"), "title", value="b"),
    "put": lambda store: store.put(REGISTERS, Key("p"), {"a": 2}),
    "claim": lambda store: store.claim(CHANGING, Key("other"), {}),
    "update": lambda store: store.update(CHANGING, Key("all"), appending(2)),
    "delete": lambda store: store.delete(FACTS, Key("p", "x")),
    "increment": lambda store: store.increment("c"),
    "reserve": lambda store: store.reserve([Bound(counter="c", most=9)]),
    "erase": lambda store: store.erase(FACTS, "p"),
    "drop": lambda store: store.drop(["c"]),
}


@pytest.mark.parametrize("verb", WRITES)
async def test_file_is_written_by_each_verb_that_changes(path: Path, verb: str) -> None:
    """A store that is opened later has each verb's change."""
    store = opened(path)
    await store.add(FACTS, Key("p", "x"), {"text": "a"})
    await store.put(REGISTERS, Key("p"), {"a": 1})
    await store.update(CHANGING, Key("all"), appending(1))
    await store.increment("c")
    before = await everything(opened(path))
    await WRITES[verb](store)
    after = await everything(opened(path))
    assert after == await everything(store) != before


async def everything(store: Store) -> object:
    rows = [(await store.scan(table)).rows for table in (FACTS, REGISTERS, CHANGING)]
    return rows, (await store.scan_counters()).rows


async def test_lock_is_as_long_as_one_announcement(path: Path) -> None:
    """Each write announces itself in the lock's file, over the announcement before it."""
    store = opened(path)
    for _ in range(3):
        await store.increment("c")
    assert path.with_name(path.name + ".lock").stat().st_size == 16


async def test_file_shows_writes_of_another_store(path: Path) -> None:
    """Two stores on one file see each other's writes."""
    one, other = opened(path), opened(path)
    for number in range(5):
        await one.update(CHANGING, Key("p"), appending(number))
        row = await other.get(CHANGING, Key("p"))
        assert row == {"seen": list(range(number + 1))}
        await other.delete(FACTS, Key("p"))
        await other.add(FACTS, Key("p"), {"number": number})
        assert await one.get(FACTS, Key("p")) == {"number": number}
        assert [await one.increment("c"), await other.increment("c")] == [2 * number + 1, 2 * number + 2]


async def test_file_change_is_noticed_when_its_stat_is_equal(path: Path) -> None:
    """A write is noticed even if the file's inode, time and size are unchanged.

    File systems reuse inodes, and file times are coarse: size, inode and time may be equal.
    """
    one, other = opened(path), opened(path)
    await one.increment("c")
    before = path.stat()
    kept = path.with_name("same inode")
    kept.hardlink_to(path)
    await other.increment("c")
    kept.write_bytes(path.read_bytes())
    kept.replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert await one.increment("c") == 3


async def test_file_loses_no_update_of_two_stores(path: Path) -> None:
    stores = [MemoryStore(rows=shared_rows(path), pause=seeded_pause(seed)) for seed in range(2)]
    _, raised = await outcomes(stores[number % 2].update(CHANGING, Key("p"), appending(number)) for number in range(20))
    assert raised == []
    row = await stores[0].get(CHANGING, Key("p"))
    assert row is not None
    assert sorted(row["seen"]) == list(range(20))


@pytest.mark.thorough
async def test_file_loses_nothing_among_processes(path: Path) -> None:
    """Racing processes lose nothing and share no claim."""
    root = Path(__file__).parents[3]
    racers = [
        subprocess.Popen(  # noqa: S603, ASYNC220 our own text; nothing else runs in this loop
            [sys.executable, "-c", _RACER, str(path), me],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in ("a", "b")
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [[int(number) for number in racer.communicate()[0].split()] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    store = opened(path)
    assert await store.counters("c") == {"c": 50}
    row = await store.get(CHANGING, Key("all"))
    assert row is not None
    assert sorted(row["seen"]) == sorted(f"{me}.{number}" for me in "ab" for number in range(25))
    assert sorted(won[0] + won[1]) == list(range(25))
    for me, numbers in zip("ab", won, strict=True):
        for number in numbers:
            assert await store.get(CHANGING, Key("claims", str(number))) == {"by": me}


async def test_verify_creates_the_file_and_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "and deep" / "rows.json"
    await opened(path).verify(TABLES)
    assert path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b'"text"',
        b'{"tables": {}}',
        b'{"tables": [], "counters": []}',
        b'{"tables": {"t": [["too", "few"]]}, "counters": []}',
        b'{"tables": {}, "counters": [["c"]]}',
        b'{"name": "a-package", "version": "1.0.0"}',
        b'{"tables": {"contract_facts": [["p", "x", "{}"]]}, "counters": [["c"',
    ],
)
async def test_file_of_another_content_is_refused_and_kept(path: Path, content: bytes) -> None:
    """A file of another content raises StoreNotReady and is not changed."""
    path.write_bytes(content)
    store = opened(path)
    for _ in range(2):
        with pytest.raises(StoreNotReady):
            await store.verify(TABLES)
        with pytest.raises(StoreNotReady):
            await store.increment("c")
    assert path.read_bytes() == content


async def test_file_is_read_again_after_it_was_repaired(path: Path) -> None:
    """A file that becomes unreadable raises StoreNotReady until it is repaired."""
    store = opened(path)
    await store.increment("c")
    good = path.read_bytes()
    path.write_bytes(b"gone bad")
    with pytest.raises(StoreNotReady):
        await store.increment("c")
    path.write_bytes(good)
    assert await store.increment("c") == 2


async def test_file_that_was_removed_is_an_empty_store(path: Path) -> None:
    store = opened(path)
    await store.increment("c")
    path.unlink()
    assert await store.counters("c") == {}
    assert await store.increment("c") == 1


async def test_file_that_cannot_be_read_is_unavailable(path: Path) -> None:
    """It raises StoreUnavailable, with the system's error as its cause."""
    path.mkdir()
    with pytest.raises(StoreUnavailable) as caught:
        await opened(path).get(FACTS, Key("p"))
    assert type(caught.value) is StoreUnavailable
    assert isinstance(caught.value.__cause__, OSError)


async def test_file_below_another_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    store = opened(tmp_path / "file" / "rows.json")
    with pytest.raises(StoreUnavailable):
        await store.verify(TABLES)
    with pytest.raises(StoreUnavailable):
        await store.increment("c")


async def test_file_keeps_the_old_rows_when_a_write_fails(path: Path) -> None:
    store, other = opened(path), opened(path)
    await store.increment("c")
    await store.add(FACTS, Key("p", "old"), {"a": 1})
    blocked = path.with_name(path.name + ".new")
    blocked.mkdir()  # where the new rows would be written
    with pytest.raises(StoreUnavailable):
        await store.increment("c")
    with pytest.raises(StoreUnavailable):
        await store.add(FACTS, Key("p", "new"), {"a": 2})
    for reader in (store, other, opened(path)):
        assert await reader.counters("c") == {"c": 1}
        assert [row.key.sort for row in (await reader.page(FACTS, "p")).rows] == ["old"]
    blocked.rmdir()
    assert await store.increment("c") == 2


async def test_file_replaces_what_a_crash_left_half_written(path: Path) -> None:
    """A half-written file that a crash left is replaced by the next write."""
    await opened(path).increment("c")
    path.with_name(path.name + ".new").write_text('{"tables": {"half', encoding="utf-8")
    assert await opened(path).increment("c") == 2
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["tables", "counters"]


async def test_file_is_not_written_when_a_change_refuses(path: Path) -> None:
    store = opened(path)
    await store.claim(CHANGING, Key("p"), {"a": 1})
    before = path.stat()
    with pytest.raises(Refused):
        await store.update(CHANGING, Key("p"), refuse)
    assert path.stat() == before


async def test_file_is_not_written_by_reads(path: Path) -> None:
    store = opened(path)
    await store.add(FACTS, Key("p"), {"a": 1})
    before = path.stat().st_mtime_ns
    await asyncio.gather(store.get(FACTS, Key("p")), store.page(FACTS, "p"), store.counters("c"), store.scan(FACTS))
    assert path.stat().st_mtime_ns == before
