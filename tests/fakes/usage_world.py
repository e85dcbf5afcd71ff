"""An owner whose logs are written, and recounted independently."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.core.ids import Ids
from shared.stores.port import Store
from shared.tables import UsageLogs
from shared.tables.usage_logs import Action, UsageLog
from shared.usage.counts import Counts, GroupBy, GroupedCounts
from shared.usage.history import History
from shared.usage.rollups import Rollups
from tests.support import FakeClock

BORN: Final = datetime(2025, 11, 20, 22, 30, tzinfo=UTC)
VOICES: Final = ("rachel", "sam")
KEYS: Final = ("a" * 32, "b" * 32)


@dataclass(frozen=True, kw_only=True)
class Happens:
    """A log, written `late` after its event."""

    action: Action
    key: str
    voice: str
    characters: int
    tenths: int
    test: bool
    late: timedelta


MEMO: Final = Happens(
    action=Action.MEMO_CREATED, key=KEYS[0], voice="sam", characters=7, tenths=5, test=False, late=timedelta(0)
)
ERROR: Final = Happens(
    action=Action.ERROR_TTS, key=KEYS[1], voice="sam", characters=7, tenths=5, test=False, late=timedelta(0)
)


class Owner:
    """One owner's logs, in the store and in a list for the recount."""

    def __init__(self, store: Store, clock: FakeClock, *, user_id: str | None = None, **how: int) -> None:
        self.clock = clock
        self.ids = Ids()
        self.id = user_id or self.ids.mint(clock.at)
        self.logs = UsageLogs(store)
        self.rollups = Rollups(store)
        self.history = History(logs=self.logs, rollups=self.rollups, clock=clock, **how)
        self.written: list[UsageLog] = []

    async def log(self, happens: Happens) -> None:
        at = max(self.clock.at - happens.late, BORN)
        log = UsageLog(
            id=self.ids.mint(at),
            user_id=self.id,
            api_key_id=happens.key,
            action=happens.action,
            metadata={
                "voice": happens.voice,
                "characters": happens.characters,
                "audioSeconds": happens.tenths / 10,
                "test": happens.test,
            },
            created_at=at,
        )
        self.written.append(log)
        await self.logs.add(log)

    def recount(self, first: datetime, end: datetime) -> dict[datetime, dict[tuple[GroupBy, str], Counts]]:
        """Return counts by the hour, from the list of logs alone."""
        hours: dict[datetime, dict[tuple[GroupBy, str], Counts]] = {}
        for log in self.written:
            if not first <= log.created_at < end:
                continue
            if log.action is Action.MEMO_CREATED and not log.metadata["test"]:
                made = Counts(1, log.metadata["characters"], int(log.metadata["audioSeconds"] * 10 + 0.5) * 100, 0)
            elif log.action.startswith("error_"):
                made = Counts(0, 0, 0, 1)
            else:
                continue
            hour = hours.setdefault(log.created_at.replace(minute=0, second=0, microsecond=0), {})
            names = {
                GroupBy.ACTION: log.action.value,
                GroupBy.KEY: log.api_key_id or "",
                GroupBy.VOICE: log.metadata["voice"],
            }
            for group in names.items():
                hour[group] = Counts(*map(sum, zip(hour.get(group, Counts()), made, strict=True)))
        return hours


def told(figures: GroupedCounts) -> dict[tuple[GroupBy, str], Counts]:
    return {(what, name): counts for what in GroupBy for name, counts in figures.by(what).items()}


async def lived(owner: Owner, days: int, *, every: timedelta = timedelta(hours=7)) -> None:
    """Let days pass with a log at every interval, without any request for figures."""
    ends_at = owner.clock.at + timedelta(days=days)
    while owner.clock.at < ends_at:
        owner.clock.advance(every)
        await owner.log(ERROR if owner.clock.at.hour == 3 else MEMO)
