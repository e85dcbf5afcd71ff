from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.clock import iso, months, next_day, next_month, utc_now, whole_seconds
from shared.core.ids import Ids, derived_id, first_id, is_id, minted_at
from tests.support import NOON, repeatable

_TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 the strategy adds the zone


def test_utc_now_is_in_whole_milliseconds() -> None:
    now = utc_now()
    assert (now.tzinfo, now.microsecond % 1000) == (UTC, 0)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 11, 23, 22, 30, 56, 120_000, UTC), "2026-11-23T22:30:56.120Z"),
        (datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23T00:00:00.000Z"),
        (datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), "2025-12-31T23:30:00.000Z"),
    ],
)
def test_iso_writes_utc_with_milliseconds(at: datetime, expected: str) -> None:
    """Times of any offset are written in UTC with milliseconds."""
    assert iso(at) == expected


@repeatable
@given(_TIMES, _TIMES)
def test_iso_sorts_as_times_do(one: datetime, other: datetime) -> None:
    """Text order is time order."""
    assert (iso(one) <= iso(other)) or one > other


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        ("2026-11-23T12:00:00", "2026-11-24", "2026-12-01"),
        ("2026-11-30T23:59:59.999", "2026-12-01", "2026-12-01"),
        ("2026-12-31T00:00:00", "2027-01-01", "2027-01-01"),
        ("2028-02-28T10:00:00", "2028-02-29", "2028-03-01"),
        ("2026-01-31T10:00:00", "2026-02-01", "2026-02-01"),
        ("2026-11-23T00:00:00", "2026-11-24", "2026-12-01"),
    ],
)
def test_next_day_and_month_are_utc_midnights(at: str, day: str, month: str) -> None:
    """The next day and the next month begin at midnight UTC, also after the last day of a month."""
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert next_day(moment) == datetime.fromisoformat(day).replace(tzinfo=UTC)
    assert next_month(moment) == datetime.fromisoformat(month).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-01-31", "2026-03-01", ["2026-01-01", "2026-02-01", "2026-03-01"]),
        ("2026-12-31", "2027-01-31", ["2026-12-01", "2027-01-01"]),
        ("2026-02-02", "2026-02-01", ["2026-02-01"]),
        ("2026-02-01", "2026-01-31", []),
    ],
)
def test_months_are_those_of_both_days_and_between(first: str, last: str, expected: list[str]) -> None:
    """Months are listed by their first days, both ends included."""
    found = months(date.fromisoformat(first), date.fromisoformat(last))
    assert [day.isoformat() for day in found] == expected


@pytest.mark.parametrize(("seconds", "expected"), [(-5, 1), (0, 1), (0.001, 1), (1, 1), (1.001, 2), (60, 60)])
def test_whole_seconds_are_rounded_up_from_one(seconds: float, expected: int) -> None:
    """A client that waits this long never retries too early, and never waits 0 seconds."""
    assert whole_seconds(timedelta(seconds=seconds)) == expected


def test_mint_makes_uuids_of_version_7() -> None:
    """Ids are UUIDs of version 7, with the given time."""
    minted = UUID(Ids().mint(NOON))
    assert (minted.version, minted.variant) == (7, "specified in RFC 4122")
    assert minted.int >> 80 == int(NOON.timestamp() * 1000)


def test_mint_ascends_within_a_millisecond() -> None:
    """One minter's ids sort in the order of minting."""
    ids = Ids()
    minted = [ids.mint(NOON) for _ in range(4096)]
    assert minted == sorted(set(minted))


def test_mint_differs_between_minters() -> None:
    """Two minters at the same time make no id twice."""
    assert Ids().mint(NOON) != Ids().mint(NOON)


def test_mint_stays_unique_when_the_clock_goes_back() -> None:
    """Ids stay unique, and each has its given time."""
    ids = Ids()
    earlier = NOON - timedelta(milliseconds=5)
    minted = [ids.mint(at) for _ in range(50) for at in (NOON, earlier)]
    assert len(set(minted)) == 100
    assert all(first_id(earlier) <= one < first_id(earlier + timedelta(milliseconds=1)) for one in minted[1::2])


def test_mint_stays_unique_beyond_its_counter() -> None:
    """More ids than a millisecond counts keep their time, and sort above those that were counted."""
    ids = Ids()
    minted = [ids.mint(NOON) for _ in range(5000)]
    assert len(set(minted)) == 5000
    assert min(minted[4096:]) > minted[4094]
    assert all(first_id(NOON) <= one < first_id(NOON + timedelta(milliseconds=1)) for one in minted)


def test_derived_id_is_of_its_time_and_name() -> None:
    """The id is equal in every version of this code, so an event that is recorded again is the same one."""
    derived = derived_id(NOON, "revoked 1")
    assert derived == "01a20846fe007000a704ef98260af4e4"
    assert (UUID(derived).version, UUID(derived).variant) == (7, "specified in RFC 4122")
    assert minted_at(derived) == NOON
    assert derived_id(NOON, "revoked 2") != derived
    assert derived_id(NOON + timedelta(milliseconds=1), "revoked 1")[12:] == derived[12:]


@repeatable
@given(_TIMES)
def test_first_id_separates_earlier_ids_from_later(at: datetime) -> None:
    """first_id is at most any id of its millisecond, and above every id of the one before."""
    whole = at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert first_id(whole) <= Ids().mint(at) < first_id(whole + timedelta(milliseconds=1))
    assert is_id(first_id(at))


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "g" * 32, "A" * 32, "0" * 32 + "\n", "\u0660" * 32, f"{UUID(int=0)}"]
)
def test_is_id_refuses_other_forms(text: str) -> None:
    """Other lengths, letters and cases are no ids."""
    assert not is_id(text)
