"""Plan a move by owner, from the working copy alone, so that a dry run reports exactly what a move does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.accounts.passwords import is_bcrypt
from shared.core.ids import derived_id
from shared.tables.issued_keys import IssuedKey
from shared.tables.subscriptions import Subscription
from shared.tables.users import User
from tools.moving.accounts import MovedKey, planned_keys, planned_subscription, planned_user
from tools.moving.addresses import AddressBook
from tools.moving.counts import CounterTarget, planned_counts
from tools.moving.findings import Findings
from tools.moving.history import Moved, OldHistory
from tools.moving.working_copy import HISTORY, Old, OldKind, WorkingCopy

Advance = Callable[[int], None]
"""A callback that gets the number of rows done."""


@dataclass(frozen=True, kw_only=True)
class MovedOwner:
    """A user with all rows but the history. `subscription` has its id in the predecessor."""

    old: Old
    user: User
    keys: Sequence[MovedKey]
    subscription: tuple[str, Subscription] | None
    counts: Sequence[CounterTarget]

    @property
    def keys_by_old_id(self) -> dict[str, IssuedKey]:
        return {moved.old_id: moved.key for moved in self.keys}


class Planner:
    def __init__(self, copy: WorkingCopy, findings: Findings, *, now: datetime) -> None:
        self.copy = copy
        self.findings = findings
        self.now = now
        self.old_hashes = 0
        """The number of planned owners with a bcrypt hash."""

        self._addresses = AddressBook(copy)

    def user_id(self, old: Old) -> str:
        """Return the id of a user who never moved. Its time is that of the user's first row: figures begin there."""
        first = self.copy.first(old.id, *HISTORY)
        return derived_id(old.at if first is None else min(first, old.at), f"moved user {old.id}")

    def owner(self, old: Old, user_id: str) -> MovedOwner:
        copy, findings = self.copy, self.findings
        user = planned_user(old, user_id, self._addresses.of(old.id), findings)
        keys = planned_keys(copy.of(old.id, OldKind.KEYS), user_id, findings)
        by_old_id = {moved.old_id: moved.key for moved in keys}
        self.old_hashes += is_bcrypt(user.password_hash)
        self._compare_uses(old, keys)
        return MovedOwner(
            old=old,
            user=user,
            keys=keys,
            subscription=planned_subscription(copy.of(old.id, OldKind.SUBSCRIPTIONS), user, findings),
            counts=planned_counts(copy, old.id, user_id, by_old_id, now=self.now, findings=findings),
        )

    def _compare_uses(self, old: Old, keys: Sequence[MovedKey]) -> None:
        """Report keys whose uses differ from their logs: the predecessor lost some of either."""
        logged = self.copy.calls_by_key(old.id)
        for moved in keys:
            calls = logged.get(moved.old_id, 0)
            if calls != moved.uses:
                detail = f"{moved.uses} uses, {calls} logs of memos"
                self.findings.note("api_keys", moved.old_id, "its uses are not as many as its logs", detail=detail)

    def history(self, owner: MovedOwner) -> Iterator[Moved]:
        rows = OldHistory(owner=owner.old.id, user_id=owner.user.id, keys=owner.keys_by_old_id, findings=self.findings)
        return rows.rows(self.copy)

    def report(self, old: Old, user_id: str, advance: Advance) -> None:
        """Plan an owner for the findings alone."""
        for _ in self.history(self.owner(old, user_id)):
            advance(1)
        advance(1)

    def dry_run(self, advance: Advance) -> None:
        for old in self.copy.users():
            self.report(old, self.user_id(old), advance)
