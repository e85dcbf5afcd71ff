"""Reports: shares that add up, and weeks and months across the ends of years."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.clock import DAY
from shared.speech.voices import VOICES
from shared.stores.memory.store import MemoryStore
from shared.usage.counts import Counts, Group, GroupBy, GroupedCounts, packed, unpacked
from shared.usage.reports import Bucket, Usage, UsageReports, shares, week_name
from tests.fakes.usage_world import BORN, ERROR, MEMO, Owner
from tests.support import NOON, FakeClock, repeatable

GROUPS: Final[list[Group]] = [(GroupBy.KEY, "x"), (GroupBy.VOICE, "y"), (GroupBy.ACTION, "z"), (GroupBy.ACTION, "b")]
NAMES = st.text("abcdef", min_size=1, max_size=3)
COUNTS = st.builds(
    Counts,
    calls=st.integers(0, 10**9),
    characters=st.integers(0, 10**12),
    audio_ms=st.integers(0, 10**12),
    errors=st.integers(0, 10**6),
)


@repeatable
@given(st.dictionaries(NAMES, st.integers(0, 10**9)))
def test_percentages_are_each_rounded_to_one_decimal(counts: dict[str, int]) -> None:
    """Each share is rounded separately, so equal counts have equal percentages; zeros are left out."""
    found = shares(counts)
    total = sum(counts.values())
    assert {share.name: share.count for share in found} == {name: count for name, count in counts.items() if count}
    for share in found:
        assert round(share.percentage, 1) == share.percentage
        assert abs(share.percentage - 100 * share.count / total) <= 0.05 + 1e-9
    assert [share.count for share in found] == sorted((share.count for share in found), reverse=True)


def test_thirds_are_33_3_each() -> None:
    """Three equal counts are three equal percentages, though their sum is 99.9."""
    assert [share.percentage for share in shares({"a": 1, "b": 1, "c": 1})] == [33.3, 33.3, 33.3]
    assert [share.percentage for share in shares({"a": 1, "b": 2})] == [66.7, 33.3]


@pytest.mark.parametrize(
    ("day", "week"),
    [
        (date(2026, 3, 2), "2026-W10"),
        (date(2024, 12, 30), "2025-W01"),
        (date(2027, 1, 3), "2026-W53"),
        (date(2023, 1, 1), "2022-W52"),
    ],
)
def test_weeks_are_iso_weeks(day: date, week: str) -> None:
    assert week_name(day) == week


@repeatable
@given(st.dictionaries(st.integers(0, 31), st.dictionaries(st.sampled_from(GROUPS), COUNTS)))
@pytest.mark.thorough
def test_counts_survive_being_packed(parts: dict[int, dict[Group, Counts]]) -> None:
    counts = {number: GroupedCounts(groups) for number, groups in parts.items() if groups}
    assert unpacked(packed(counts)) == counts


def test_packed_is_the_same_for_the_same_counts() -> None:
    """Equal counts make one document, in whatever order they were added; empty parts are left out."""
    key, voice = (GroupBy.KEY, "x"), (GroupBy.VOICE, "y")
    one = GroupedCounts({key: Counts(1, 2, 3, 0), voice: Counts(0, 0, 0, 1)})
    other = GroupedCounts.sum([GroupedCounts({voice: Counts(0, 0, 0, 1)}), GroupedCounts({key: Counts(1, 2, 3, 0)})])
    assert (
        packed({1: one, 0: GroupedCounts()})
        == packed({1: other})
        == {"groups": [["key", "x"], ["voice", "y"]], "parts": [[1, [0, 1, 2, 3], [1, 0, 0, 0, 1]]]}
    )


def test_counts_sum_leaves_its_parts_alone() -> None:
    """Adding up counts does not change those that are added."""
    one = GroupedCounts({(GroupBy.KEY, "x"): Counts(calls=1)})
    assert GroupedCounts.sum([one, one]).by(GroupBy.KEY) == {"x": Counts(calls=2)}
    assert one.by(GroupBy.KEY) == {"x": Counts(calls=1)}


@pytest.mark.parametrize("bucket", Bucket)
def test_buckets_contain_the_time_asked_for(bucket: Bucket) -> None:
    aligned = datetime(2026, 11, 23, tzinfo=NOON.tzinfo)
    moment = timedelta(milliseconds=1)
    assert bucket.spanning(aligned, aligned + 3 * bucket.length) == 3
    assert bucket.spanning(aligned + moment, aligned + 3 * bucket.length) == 3
    assert bucket.spanning(aligned, aligned + 3 * bucket.length + moment) == 4


@pytest.mark.anyio
async def test_day_of_failures_only_has_errors_and_no_period() -> None:
    """The day is in the report of errors, and in no day, week or month of usage, before and after it is summed."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2026, 3, 2, 12, tzinfo=UTC)))
    reports, day = UsageReports(owner.history, owner.clock), date(2026, 3, 2)
    await owner.log(ERROR)
    for _ in range(2):
        failed = await reports.errors(owner.id, day, day)
        assert (failed.requests, failed.errors, failed.rate) == (1, 1, 100.0)
        assert await reports.usage(owner.id, day, day) == Usage(total=0, daily=[], weekly=[], monthly=[])
        owner.clock.advance(2 * DAY)


@pytest.mark.anyio
@pytest.mark.parametrize("logged", [("zed", "alan", "sam", "rachel"), ("rachel", "sam", "alan", "zed")])
async def test_voices_of_equal_counts_are_in_their_order(logged: Sequence[str]) -> None:
    """The service's voices are in its order, then the predecessor's by name, whatever was logged first."""
    owner = Owner(MemoryStore(), FakeClock(datetime(2026, 3, 2, 12, tzinfo=UTC)))
    reports = UsageReports(owner.history, owner.clock)
    for voice in logged:
        await owner.log(replace(MEMO, voice=voice))
    expected = [voice for voice in VOICES if voice in ("sam", "rachel")] + ["alan", "zed"]
    assert [share.name for share in await reports.voices(owner.id)] == expected
    assert [share.name for share in await reports.voices(owner.id, date(2026, 3, 2))] == expected
    assert await reports.voices(owner.id, date(2026, 3, 3)) == []
    assert await reports.voices(owner.id, None, date(2026, 3, 1)) == []


@pytest.mark.anyio
async def test_summary_counts_this_week_and_month_from_their_first_day() -> None:
    """The week counts from Monday's midnight, the month from its first; the hour before belongs to neither."""
    owner = Owner(MemoryStore(), FakeClock(BORN))
    reports = UsageReports(owner.history, owner.clock)
    for at in ((5, 31, 23), (6, 1, 0), (6, 7, 23), (6, 8, 0)):
        owner.clock.at = datetime(2026, *at, tzinfo=UTC)
        await owner.log(MEMO)
    owner.clock.at = datetime(2026, 6, 9, 12, tzinfo=UTC)
    await owner.log(MEMO)
    summary = await reports.summary(owner.id)
    assert (summary.total.calls, summary.this_month, summary.this_week, summary.today) == (5, 4, 2, 1)
