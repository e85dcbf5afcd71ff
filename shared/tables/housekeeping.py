"""The progress of housekeeping: the figures of days, and the position of each sweep.

`all / 2026-03-02` → `{"as_of": "2026-03-04T00:10:00.000Z", "calls": 17, "owners": 3, "running": null}`, and while
a pass over the day's owners is under way

    {"as_of": "2026-03-02T11:00:00.000Z", "calls": 9, "owners": 2,
     "running": {"began_at": "2026-03-03T00:10:00.000Z", "after": "019c…", "calls": 12, "owners": 2, "is_whole": false}}

`all / sweep` → `{"began_at": "2026-03-02T08:00:00.000Z", "after": null}`, and the same under `all / plans` for the
comparison with Stripe. They sort after all days, so one read from the newest row on returns them with the unfinished
days.
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
"""Rows of one read: the sweep, the comparison, today, and the two days before. Earlier days are finished, or have no
row yet."""

_ALL: Final = "all"
_SWEEP: Final = "sweep"
_PLANS: Final = "plans"


class DayPass(RowModel):
    """A pass over a day's owners. `calls` counts them up to `after`; `is_whole`: the pass has counted all owners."""

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
    """The calls of all owners on a UTC day, as counted at `as_of`; None: no pass has ended. `owners` made them."""

    as_of: Instant | None = None
    calls: int = 0
    owners: int = 0
    running: DayPass | None = None


class Sweep(RowModel):
    """The last sweep of all counters or all customers: when it began, and where it continues; None: it has ended."""

    began_at: Instant
    after: str | None

    @classmethod
    def following(cls, last: "Sweep | None", now: datetime) -> tuple["Sweep", datetime]:
        """Return the sweep to work on, and since when it is due. A new one is due a day after the last one began."""
        if last is not None and last.after is not None:
            return last, last.began_at
        return cls(began_at=now, after=None), now if last is None else last.began_at + DAY

    def at(self, after: str | None) -> "Sweep":
        return Sweep(began_at=self.began_at, after=after)


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """The newest rows. `days` are oldest first; `sweep`, `plans` None: none has begun yet."""

    sweep: Sweep | None
    plans: Sweep | None
    days: Sequence[tuple[date, DayFigures]]


class HousekeepingRows:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def unfinished(self) -> Unfinished:
        """Return the newest rows, in one read. They contain every unfinished day that has a row."""
        page = await self._store.page(HOUSEKEEPING, _ALL, limit=UNFINISHED, newest_first=True)
        documents = {row.key.sort: row.document for row in reversed(page.rows)}
        sweep, plans = (documents.pop(name, None) for name in (_SWEEP, _PLANS))
        return Unfinished(
            sweep=None if sweep is None else Sweep.read(sweep),
            plans=None if plans is None else Sweep.read(plans),
            days=_days(documents),
        )

    async def days(self, first: date, last: date) -> Sequence[tuple[date, DayFigures]]:
        """Return the figures from `first` to `last`, inclusive, oldest first, in one read."""
        between = (first.isoformat(), f"{last.isoformat()}.")
        page = await self._store.page(HOUSEKEEPING, _ALL, limit=(last - first).days + 1, between=between)
        return _days({row.key.sort: row.document for row in page.rows})

    async def change_day(self, day: date, change: Callable[[DayFigures], DayFigures]) -> DayFigures:
        """Change a day's figures, and return them. `change` gets empty figures if the day has none."""

        def changed(document: Document | None) -> Document:
            return change(DayFigures() if document is None else DayFigures.read(document)).document()

        updated = await self._store.update(HOUSEKEEPING, Key(_ALL, day.isoformat()), changed)
        assert updated.after is not None, "the change never deletes"
        return DayFigures.read(updated.after)

    async def note_sweep(self, sweep: Sweep) -> None:
        """Store the position of the sweep. If two overlap, the last write wins: repeating a step has no effect."""
        await self._store.update(HOUSEKEEPING, Key(_ALL, _SWEEP), lambda _: sweep.document())

    async def note_plans(self, sweep: Sweep) -> None:
        """Store the position of the comparison with Stripe, as `note_sweep` does."""
        await self._store.update(HOUSEKEEPING, Key(_ALL, _PLANS), lambda _: sweep.document())


def _days(documents: dict[str, Document]) -> list[tuple[date, DayFigures]]:
    return [(date.fromisoformat(day), DayFigures.read(document)) for day, document in documents.items()]
