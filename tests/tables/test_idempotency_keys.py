"""Idempotency keys: which run may make the memo."""

import pytest

from shared.stores.port import AlreadyExists, Store
from shared.tables.idempotency_keys import Failure, IdempotencyKeys, KeyedRun
from tests.support import IDS, NOON

pytestmark = pytest.mark.anyio


def a_run(*, is_bound: bool = False) -> KeyedRun:
    return KeyedRun(
        run=IDS.mint(NOON),
        began_at=NOON,
        memo_id=IDS.mint(NOON),
        file="f.mp3",
        created_at=NOON,
        body="2cf2",
        is_bound=is_bound,
    )


async def test_run_takes_over_only_the_run_that_was_read(store: Store) -> None:
    """The second of two that take over the same run is refused: otherwise both could make the memo."""
    keys, (first, second, third) = IdempotencyKeys(store), [a_run() for _ in range(3)]
    await keys.begin("k", "d", first, after=None)
    await keys.begin("k", "d", second, after=first)
    with pytest.raises(AlreadyExists):
        await keys.begin("k", "d", third, after=first)
    assert await keys.get("k", "d") == second


@pytest.mark.parametrize(
    ("failure", "is_bound", "is_free"),
    [
        (Failure.BEFORE_WRITES, False, True),
        (Failure.BEFORE_WRITES, True, False),
        (Failure.IN_WRITES, False, False),
        (None, False, False),
    ],
)
async def test_key_is_free_if_no_run_can_have_written(
    store: Store, failure: Failure | None, *, is_bound: bool, is_free: bool
) -> None:
    """A key is free if its run failed before its writes, and is not bound to an earlier run's names."""
    keys, run = IdempotencyKeys(store), a_run(is_bound=is_bound)
    await keys.begin("k", "d", run, after=None)
    if failure is not None:
        await keys.fail("k", "d", run.run, failure)
    stored = await keys.get("k", "d")
    assert stored is not None
    assert stored.is_free is is_free
