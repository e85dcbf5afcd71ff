"""What a run over a list of work did: every job of housekeeping answers with it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

CanGoOn = Callable[[], bool]
"""Whether there is time for another piece of work."""

Progress = Callable[[str], object]
"""Called with the name of each piece that was done."""


@dataclass(frozen=True, kw_only=True)
class Worked:
    """Pieces that were done, that wait for their time, and that failed; and whether the list's end was reached.

    `due_since`: since when the oldest piece that is left has been due; None: nothing that is due is left.
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
"""Works on a list as long as it can. It may stop anywhere, and run twice at once. Raises StoreError and the like."""


def oldest(*times: datetime | None) -> datetime | None:
    return min((at for at in times if at is not None), default=None)


def always() -> bool:
    return True


def silent(_: str) -> None:
    """Show no progress."""
