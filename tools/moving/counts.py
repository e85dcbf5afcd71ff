"""Count an owner's memos of today and of this month, so that limits continue across the move."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from shared.core.clock import DAY, midnight, next_day, next_month
from shared.tables.issued_keys import IssuedKey
from tools.moving.findings import Findings
from tools.moving.values import MOST, count, text
from tools.moving.working_copy import OldKind, WorkingCopy

ENDED: Final = "its month has ended: it limits nothing any more"


@dataclass(frozen=True, kw_only=True)
class CounterTarget:
    """A counter to raise to at least `value`. `ends_at` None: it does not end."""

    name: str
    value: int
    ends_at: datetime | None = None


def planned_counts(
    copy: WorkingCopy, owner: str, user_id: str, keys: Mapping[str, IssuedKey], *, now: datetime, findings: Findings
) -> list[CounterTarget]:
    """Return the counters of the current day and month: the predecessor's counts, or its memos if they are more.

    The predecessor counted in a table of its own, included refusals, and did not count on every store.
    """
    counted: Counter[tuple[bool, date]] = Counter()
    for old in copy.of(owner, OldKind.COUNTS):
        day, number = _day(old.values.get("date")), count(old.values.get("count"))
        key = keys.get(text(old.values.get("api_key_id")) or "")
        if day is None or number is None:
            findings.leave("rate_limits", old.id, "its day or its count cannot be read")
        elif (day.year, day.month) != (now.year, now.month):
            findings.leave("rate_limits", old.id, ENDED)
        else:
            counted[key is not None and key.is_test, day] += number
    made = _made(copy, owner, keys, now)
    days = {slot: min(MOST, max(counted[slot], made[slot])) for slot in {*counted, *made}}  # no counter takes more
    month = min(MOST, sum(number for (is_test, _), number in days.items() if not is_test))
    today, ends_at = now.date(), next_day(now)
    targets = (
        CounterTarget(name=f"{user_id}:calls:{now:%Y-%m-%d}", value=days.get((False, today), 0), ends_at=ends_at),
        CounterTarget(name=f"{user_id}:calls:{now:%Y-%m}", value=month, ends_at=next_month(now)),
        CounterTarget(name=f"{user_id}:testcalls:{now:%Y-%m-%d}", value=days.get((True, today), 0), ends_at=ends_at),
    )
    return [target for target in targets if target.value]


def _made(copy: WorkingCopy, owner: str, keys: Mapping[str, IssuedKey], now: datetime) -> Counter[tuple[bool, date]]:
    """Count the memos of this month by their logs, which contain their keys' ids."""
    made: Counter[tuple[bool, date]] = Counter()
    first = midnight(now.date().replace(day=1))
    for old in copy.of(owner, OldKind.MADE, since=first, until=midnight(now.date()) + DAY):
        key = keys.get(text(old.values.get("api_key_id")) or "")
        made[key is not None and key.is_test, old.at.date()] += 1
    return made


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat((text(value) or "")[:10])
    except ValueError:
        return None
