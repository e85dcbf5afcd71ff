"""Ended counters: those of days, months and attempts, an hour after their windows, and no others."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.core.clock import MILLISECOND
from shared.jobs.sweep import has_ended

OWNER = "0" * 32
KEY = "1" * 32
DAY_ENDS = datetime(2026, 11, 21, tzinfo=UTC)
MONTH_ENDS = datetime(2026, 12, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("counter", "ends_at"),
    [
        (f"{OWNER}:calls:2026-11-20", DAY_ENDS),
        (f"{OWNER}:calls:2026-11", MONTH_ENDS),
        (f"{OWNER}:testcalls:2026-11-20", DAY_ENDS),
        (f"{OWNER}:refused:live:2026-11-20", DAY_ENDS),
        (f"{OWNER}:uses:{KEY}:2026-11-20:memos", DAY_ENDS),
        (f"{OWNER}:uses:{KEY}:2026-11:characters", MONTH_ENDS),
        ("login.20261120T1200.a", NOON + timedelta(minutes=15)),
        ("login.20261120T1200.a:b", NOON + timedelta(minutes=15)),
        *(
            (f"{kind}.20261120T1200.a", NOON + timedelta(hours=1))
            for kind in ("signup", "demo", "keys", "reset", "verify")
        ),
    ],
)
def test_counter_has_ended_an_hour_after_its_window(counter: str, ends_at: datetime) -> None:
    """The hour is exact to the millisecond: a container whose clock is behind by less still counts with the counter."""
    kept_until = ends_at + timedelta(hours=1)
    assert not has_ended(counter, kept_until - MILLISECOND)
    assert has_ended(counter, kept_until)


@pytest.mark.parametrize(
    "counter",
    [
        "users",
        f"{OWNER}:uses:{KEY}",
        f"{OWNER}:stripe",
        f"{OWNER}:calls:2026-11-20x",
        f"{OWNER}:calls:2026-11-20:voices",
        f"{OWNER}:calls:2026",
        f"{OWNER}:minutes:2026-11-20",
        "users:new:2026-11-20",
        "other.20261120T1200.a",
        "login.20261120T1200",
        "xlogin.20261120T1200.a",
    ],
)
def test_counter_of_no_window_never_ends(counter: str) -> None:
    """A counter is dropped only if its name has a window that has ended."""
    assert not has_ended(counter, datetime(9999, 1, 1, tzinfo=UTC))
