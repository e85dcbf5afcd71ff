"""What housekeeping has done of the work that lists give it: the figures of days, and how far a sweep is.

`all / 2026-03-02` → `{"as_of": "2026-03-04T00:10:00.000Z", "calls": 17, "owners": 3, "running": null}`, and while
a pass over the day's owners is under way

    {"as_of": "2026-03-02T11:00:00.000Z", "calls": 9, "owners": 2,
     "running": {"began_at": "2026-03-03T00:10:00.000Z", "after": "019c…", "calls": 12, "owners": 2, "is_whole": false}}

`all / sweep` → `{"began_at": "2026-03-02T08:00:00.000Z", "after": null}`, and `all / plans` likewise of the comparison
with Stripe. They sort after all days, so one read from the newest row on returns them with the unfinished days.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from shared.core.clock import DAY, Instant
from shared.stores.port import Document, Key, Store
from shared.tables.model import RowModel
from shared.tables.schema import HOUSEKEEPING

UNFINISHED: Final = 5
"""Rows of one look: the sweep, the comparison, today, and the two days before. Days before those are finished, or have
no row yet."""

_ALL: Final = "all"
_SWEEP: Final = "sweep"
_PLANS: Final = "plans"


class DayPass(RowModel):
    """A pass over a day's owners. `after`: the last one that is counted in `calls`; `is_whole`: so are all others."""

    began_at: Instant
    after: str | None = None
    calls: int = 0
    owners: int = 0
    is_whole: bool = False

    def plus(self, calls: Sequence[int], *, after: str) -> "DayPass":
        """Return the pass with the calls of some more owners, up to `after`."""
        owners = self.owners + sum(1 for number in calls if number)
        return self.model_copy(update={"after": after, "calls": self.calls + sum(calls), "owners": owners})


class DayFigures(RowModel):
    """The calls of all owners on a UTC day, as they were at `as_of`; None: no pass has ended. `owners` made them."""

    as_of: Instant | None = None
    calls: int = 0
    owners: int = 0
    running: DayPass | None = None


class Sweep(RowModel):
    """When the last sweep of a list began, of all counters or all customers, and where it goes on; None: it ended."""

    began_at: Instant
    after: str | None

    @classmethod
    def following(cls, last: "Sweep | None", now: datetime) -> tuple["Sweep", datetime]:
        """Return the sweep to work on, and since when it is due: the last one, or one that begins a day after it."""
        if last is not None and last.after is not None:
            return last, last.began_at
        return cls(began_at=now, after=None), now if last is None else last.began_at + DAY

    def at(self, after: str | None) -> "Sweep":
        return Sweep(began_at=self.began_at, after=after)


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """`days` are the newest that have a row, oldest first."""

    sweep: Sweep | None
    plans: Sweep | None
    days: Sequence[tuple[date, DayFigures]]


class HousekeepingRows:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def unfinished(self) -> Unfinished:
        """Return the newest rows, in one read: they contain every day that is not finished and has a row."""
        page = await self._store.page(HOUSEKEEPING, _ALL, limit=UNFINISHED, newest_first=True)
        documents = {row.key.sort: row.document for row in reversed(page.rows)}
        sweep, plans = (documents.pop(name, None) for name in (_SWEEP, _PLANS))
        return Unfinished(
            sweep=None if sweep is None else Sweep.read(sweep),
            plans=None if plans is None else Sweep.read(plans),
            days=_days(documents),
        )

    async def days(self, first: date, last: date) -> Sequence[tuple[date, DayFigures]]:
        """Return the figures from one day to another, inclusive, oldest first, in one read."""
        between = (first.isoformat(), f"{last.isoformat()}.")
        page = await self._store.page(HOUSEKEEPING, _ALL, limit=(last - first).days + 1, between=between)
        return _days({row.key.sort: row.document for row in page.rows})

    async def change_day(self, day: date, change: Callable[[DayFigures], DayFigures]) -> DayFigures:
        """Change a day's figures; absent ones are empty. Returns them."""

        def changed(document: Document | None) -> Document:
            return change(DayFigures() if document is None else DayFigures.read(document)).document()

        updated = await self._store.update(HOUSEKEEPING, Key(_ALL, day.isoformat()), changed)
        assert updated.after is not None, "the change never deletes"
        return DayFigures.read(updated.after)

    async def note_sweep(self, sweep: Sweep) -> None:
        """Note how far a sweep is. Of two that run at once the last one counts: what it repeats is harmless."""
        await self._store.update(HOUSEKEEPING, Key(_ALL, _SWEEP), lambda _: sweep.document())

    async def note_plans(self, sweep: Sweep) -> None:
        """Note how far the comparison with Stripe is, likewise."""
        await self._store.update(HOUSEKEEPING, Key(_ALL, _PLANS), lambda _: sweep.document())


def _days(documents: dict[str, Document]) -> list[tuple[date, DayFigures]]:
    return [(date.fromisoformat(day), DayFigures.read(document)) for day, document in documents.items()]
