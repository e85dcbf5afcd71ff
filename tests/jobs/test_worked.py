"""Sums of the outcomes of runs over lists of work."""

from datetime import timedelta

import pytest

from shared.jobs.worked import Worked
from tests.support import NOON


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_work_is_done_if_both_lists_are(*, one: bool, other: bool) -> None:
    assert Worked(is_done=one).beside(Worked(is_done=other)).is_done == (one and other)
    assert Worked(is_done=one).plus(is_done=other).is_done == (one and other)


def test_numbers_add_up_and_the_oldest_due_piece_counts() -> None:
    one = Worked(done=1, waiting=2, failed=3, due_since=NOON)
    other = Worked(done=10, waiting=20, failed=30, due_since=NOON - timedelta(hours=1))
    assert one.beside(other) == Worked(done=11, waiting=22, failed=33, due_since=other.due_since)
    assert one.beside(Worked()) == Worked().beside(one) == one
