"""Assign addresses to accounts: several accounts of the predecessor may have one address here."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from handlers.models.fields import Email
from shared.plans import Tier
from tools.moving.values import milliseconds, moment, text
from tools.moving.working_copy import HISTORY, Old, OldKind, WorkingCopy

NOWHERE: Final = "moved.invalid"
"""The domain of accounts without a valid address: no mail reaches it (RFC 2606)."""

_EMAIL: Final = TypeAdapter[str](Email)

_SCHEMA: Final = "CREATE TABLE addresses (owner TEXT PRIMARY KEY, address TEXT, paid INTEGER, used INTEGER, at INTEGER)"


@dataclass(frozen=True, kw_only=True)
class AssignedAddress:
    """The address of an account here. `own` None: the predecessor's is invalid. `holder` None: no other account has it.

    Otherwise `holder` is the user who gets the address, and `email` a different one.
    """

    email: str
    own: str | None
    holder: str | None = None

    @property
    def is_apart(self) -> bool:
        return self.own is None or self.holder is not None


class AddressBook:
    """Gives an address of several accounts to the paid one, then to the one that was used last."""

    def __init__(self, copy: WorkingCopy) -> None:
        self._sql = copy.sql
        self._sql.execute(_SCHEMA)
        for user in copy.users():
            row = (user.id, normalised(user.values.get("email")), _is_paid(copy, user), _last_use(copy, user))
            self._sql.execute("INSERT INTO addresses VALUES (?, ?, ?, ?, ?)", (*row, milliseconds(user.at)))
        self._sql.execute("CREATE INDEX by_address ON addresses (address, paid DESC, used DESC, at, owner)")

    def of(self, owner: str) -> AssignedAddress:
        (own,) = self._sql.execute("SELECT address FROM addresses WHERE owner = ?", (owner,)).fetchone()
        if own is None:
            return AssignedAddress(email=f"moved-{_mark(owner)}@{NOWHERE}", own=None)
        asked = "SELECT owner FROM addresses WHERE address = ? ORDER BY paid DESC, used DESC, at, owner LIMIT 1"
        (holder,) = self._sql.execute(asked, (own,)).fetchone()
        return AssignedAddress(email=own, own=own) if holder == owner else apart(owner, own, holder)


def apart(owner: str, own: str, holder: str) -> AssignedAddress:
    """Return another address for an account whose own is taken: the same mailbox, if its server supports `+`."""
    local, _, domain = own.rpartition("@")
    email = normalised(f"{local}+moved-{_mark(owner)}@{domain}") or f"moved-{_mark(owner)}@{NOWHERE}"
    return AssignedAddress(email=email, own=own, holder=holder)


def normalised(value: object) -> str | None:
    """Return an address as sign-up would store it; None: sign-up would refuse it."""
    try:
        return _EMAIL.validate_python(text(value))
    except ValidationError:
        return None


def is_paid(values: Mapping[str, object]) -> bool:
    """Return whether a row of a user, or of a subscription, has a paid tier."""
    return text(values.get("tier")) in (Tier.PRO, Tier.ENTERPRISE)


def _is_paid(copy: WorkingCopy, user: Old) -> bool:
    if is_paid(user.values):
        return True
    subscriptions = copy.of(user.id, OldKind.SUBSCRIPTIONS)
    return any(is_paid(old.values) and text(old.values.get("status")) == "active" for old in subscriptions)


def _last_use(copy: WorkingCopy, user: Old) -> int:
    uses = [
        copy.last(user.id, *HISTORY),
        *(moment(old.values.get("last_used_at")) for old in copy.of(user.id, OldKind.KEYS)),
    ]
    return max((milliseconds(at) for at in uses if at is not None), default=0)


def _mark(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:8]
