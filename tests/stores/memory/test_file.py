# ruff: noqa: ASYNC240 nothing else runs in these loops
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.stores.memory.file import shared_rows
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Key, Store, StoreNotReady, StoreUnavailable
from tests.contract.store import CHANGING, FACTS, REGISTERS, TABLES, StoreContract, appending
from tests.support import Refused, outcomes, refuse, seeded_pause

pytestmark = pytest.mark.anyio

_RACER = """
import asyncio, sys
from pathlib import Path
from shared.stores.memory.store import MemoryStore
from shared.stores.memory.file import shared_rows
from shared.stores.port import AlreadyExists, Key
from tests.contract.store import CHANGING, appending

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
    @pytest.fixture
    def store(self, path: Path, seed: int) -> Store:
        return MemoryStore(rows=shared_rows(path), pause=seeded_pause(seed))


async def test_a_new_store_finds_what_an_earlier_one_left(path: Path) -> None:
    store = opened(path)
    await store.add(FACTS, Key("p", "x"), {"text": "ÿ\x00👩\u2028"})
    await store.put(REGISTERS, Key("p"), {"a": 1})
    await store.increment("c", 3)
    later = opened(path)
    assert await later.get(FACTS, Key("p", "x")) == {"text": "ÿ\x00👩\u2028"}
    assert await later.get(REGISTERS, Key("p")) == {"a": 1}
    assert await later.counters("c") == {"c": 3}


async def test_two_stores_on_one_file_see_each_others_writes(path: Path) -> None:
    one, other = opened(path), opened(path)
    for number in range(5):
        await one.update(CHANGING, Key("p"), appending(number))
        row = await other.get(CHANGING, Key("p"))
        assert row == {"seen": list(range(number + 1))}
        await other.delete(FACTS, Key("p"))
        await other.add(FACTS, Key("p"), {"number": number})
        assert await one.get(FACTS, Key("p")) == {"number": number}
        assert [await one.increment("c"), await other.increment("c")] == [2 * number + 1, 2 * number + 2]


async def test_a_write_is_seen_though_the_file_looks_as_it_did(path: Path) -> None:
    """File systems reuse inodes, and clocks of files tick slowly: size, inode and time may be the same again."""
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


async def test_two_stores_racing_on_one_file_lose_no_update(path: Path) -> None:
    stores = [MemoryStore(rows=shared_rows(path), pause=seeded_pause(seed)) for seed in range(2)]
    _, raised = await outcomes(stores[number % 2].update(CHANGING, Key("p"), appending(number)) for number in range(20))
    assert raised == []
    row = await stores[0].get(CHANGING, Key("p"))
    assert row is not None
    assert sorted(row["seen"]) == list(range(20))


async def test_racing_processes_lose_nothing_and_share_no_claim(path: Path) -> None:
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


async def test_verifying_creates_the_file_and_its_directory(tmp_path: Path) -> None:
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
async def test_a_file_that_holds_something_else_is_not_ready_and_stays_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = opened(path)
    for _ in range(2):
        with pytest.raises(StoreNotReady):
            await store.verify(TABLES)
        with pytest.raises(StoreNotReady):
            await store.increment("c")
    assert path.read_bytes() == content


async def test_a_file_that_went_bad_is_noticed_and_a_good_one_again_too(path: Path) -> None:
    store = opened(path)
    await store.increment("c")
    good = path.read_bytes()
    path.write_bytes(b"gone bad")
    with pytest.raises(StoreNotReady):
        await store.increment("c")
    path.write_bytes(good)
    assert await store.increment("c") == 2


async def test_a_file_that_was_removed_is_an_empty_store(path: Path) -> None:
    store = opened(path)
    await store.increment("c")
    path.unlink()
    assert await store.counters("c") == {}
    assert await store.increment("c") == 1


async def test_a_file_that_cannot_be_read_is_unavailable(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable) as caught:
        await opened(path).get(FACTS, Key("p"))
    assert type(caught.value) is StoreUnavailable
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_path_below_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    store = opened(tmp_path / "file" / "rows.json")
    with pytest.raises(StoreUnavailable):
        await store.verify(TABLES)
    with pytest.raises(StoreUnavailable):
        await store.increment("c")


async def test_a_write_that_fails_leaves_the_old_rows(path: Path) -> None:
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


async def test_what_a_crash_left_half_written_is_overwritten(path: Path) -> None:
    await opened(path).increment("c")
    path.with_name(path.name + ".new").write_text('{"tables": {"half', encoding="utf-8")
    assert await opened(path).increment("c") == 2
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["tables", "counters"]


async def test_a_refused_change_leaves_the_file_as_it_is(path: Path) -> None:
    store = opened(path)
    await store.claim(CHANGING, Key("p"), {"a": 1})
    before = path.stat()
    with pytest.raises(Refused):
        await store.update(CHANGING, Key("p"), refuse)
    assert path.stat() == before


async def test_reads_leave_the_file_as_it_is(path: Path) -> None:
    store = opened(path)
    await store.add(FACTS, Key("p"), {"a": 1})
    before = path.stat().st_mtime_ns
    await asyncio.gather(store.get(FACTS, Key("p")), store.page(FACTS, "p"), store.counters("c"), store.scan(FACTS))
    assert path.stat().st_mtime_ns == before
