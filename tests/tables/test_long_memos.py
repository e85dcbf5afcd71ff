"""The list of long memos: one outcome, and rows that are removed only if no other run needs them."""

from datetime import timedelta

import pytest

from shared.stores.port import Store
from shared.tables.long_memos import LongMemo, LongMemoList, MemoEnd, Outcome
from tests.support import IDS, NOON

pytestmark = pytest.mark.anyio

LATER = NOON + timedelta(minutes=1)


@pytest.fixture
def memo() -> LongMemo:
    return LongMemo(
        memo_id=IDS.mint(NOON),
        user_id="u",
        file="f.mp3",
        speech="simulated",
        places=(),
        created_at=NOON,
        sent_at=NOON,
        keyed_at=NOON,
    )


async def test_first_outcome_counts_for_all(store: Store, memo: LongMemo) -> None:
    """A late worker gets the first outcome, and changes nothing."""
    listed, first = LongMemoList(store), Outcome(end=MemoEnd.READY, at=NOON, seconds=1.5)
    await listed.add(memo)
    for outcome in (first, Outcome(end=MemoEnd.FAILED, at=LATER, code="TTS_SERVICE_ERROR")):
        row = await listed.decide(memo.memo_id, outcome)
        assert row is not None
        assert row.outcome == first


@pytest.mark.parametrize("again", [False, True])
async def test_row_that_another_run_lists_again_is_not_dropped(store: Store, memo: LongMemo, *, again: bool) -> None:
    """That run may be about to write the memo."""
    listed = LongMemoList(store)
    await listed.add(memo)
    if again:
        await listed.add_again(memo.model_copy(update={"keyed_at": LATER}))
    await listed.drop(memo)
    assert (await listed.get(memo.memo_id) is not None) == again


async def test_row_that_is_gone_can_be_dropped_again(store: Store, memo: LongMemo) -> None:
    """Two runs may find that the memo was never written."""
    listed = LongMemoList(store)
    await listed.add(memo)
    for _ in range(2):
        await listed.drop(memo)
    assert await listed.get(memo.memo_id) is None
