"""The outcome of one run over a list of work; every housekeeping job returns one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

CanGoOn = Callable[[], bool]
"""Returns whether there is time for another piece of work."""

Progress = Callable[[str], object]
"""Called with the name of each piece that was done."""


@dataclass(frozen=True, kw_only=True)
class Worked:
    """The numbers of pieces that were done, are not due yet, and failed; and whether the end of the list was reached.

    `due_since` is the time at which the oldest remaining piece became due; None: no due piece remains.
    """

    done: int = 0
    waiting: int = 0
    failed: int = 0
    is_done: bool = True
    due_since: datetime | None = None

    def plus(
        self,
        *,
        done: int = 0,
        waiting: int = 0,
        failed: int = 0,
        is_done: bool = True,
        due_since: datetime | None = None,
    ) -> "Worked":
        return Worked(
            done=self.done + done,
            waiting=self.waiting + waiting,
            failed=self.failed + failed,
            is_done=self.is_done and is_done,
            due_since=oldest(self.due_since, due_since),
        )

    def beside(self, other: "Worked") -> "Worked":
        return self.plus(
            done=other.done,
            waiting=other.waiting,
            failed=other.failed,
            is_done=other.is_done,
            due_since=other.due_since,
        )


Job = Callable[[CanGoOn, Progress], Awaitable[Worked]]
"""Works on a list while the first argument returns True, and calls the second with each piece. It may stop anywhere,
and two runs may overlap. Raises StoreError and other failures of its remotes."""


def oldest(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def always() -> bool:
    return True


def silent(_: str) -> None:
    """Show no progress."""
