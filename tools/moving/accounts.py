"""Plan users, keys and subscriptions from the predecessor's rows. Only the working copy is read; nothing is written."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.accounts.passwords import is_bcrypt
from shared.core.ids import derived_id
from shared.core.text import characters
from shared.plans import Tier
from shared.stores.port import is_key_part
from shared.tables import key_id
from shared.tables.issued_keys import LIVE_PREFIX, TEST_PREFIX, IssuedKey
from shared.tables.subscriptions import Subscription, SubscriptionStatus
from shared.tables.users import Role, User
from tools.moving.addresses import AssignedAddress, is_paid
from tools.moving.findings import Findings
from tools.moving.values import count, moment, text
from tools.moving.working_copy import Old

UNUSABLE: Final = "!"
"""Stored instead of a hash of no known form; no password matches it. The predecessor's seed stored bare SHA-256."""

UNNAMED: Final = "API key"
NAME_MOST: Final = 100

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_HEAD: Final = re.compile(r"\.\.\.([A-Za-z0-9_-]{1,5})$")


@dataclass(frozen=True, kw_only=True)
class MovedKey:
    """A key, with its id in the predecessor. `last_used_at` is to the minute."""

    old_id: str
    key: IssuedKey
    uses: int
    last_used_at: datetime | None


def planned_user(old: Old, user_id: str, address: AssignedAddress, findings: Findings) -> User:
    _note_dates(old, findings)
    if address.own is None:
        findings.note(
            "users",
            old.id,
            "its address is none: it can log in by a made-up one, and no mail reaches it",
            detail=f"{text(old.values.get('email'))}: {address.email}",
        )
    elif address.holder is not None:
        findings.note(
            "users",
            old.id,
            "its address belongs to another account: this one is kept apart by another address",
            detail=f"{address.own} is of {address.holder}: {address.email}",
        )
    stored = text(old.values.get("password_hash")) or ""
    if not is_bcrypt(stored):
        findings.note("users", old.id, "its password's hash has no known form: it must be reset by mail")
    return User(
        id=user_id,
        email=address.email,
        password_hash=stored if is_bcrypt(stored) else UNUSABLE,
        tier=_tier(old, findings),
        role=_role(old, findings),
        email_verified=not address.is_apart,
        session_version=1,
        created_at=old.at,
        updated_at=moment(old.values.get("updated_at")) or old.at,
        moved_in=True,
    )


def planned_keys(rows: Iterable[Old], user_id: str, findings: Findings) -> list[MovedKey]:
    """Return an owner's keys, oldest first."""
    keys: dict[str, MovedKey] = {}
    for old in rows:
        moved = _planned_key(old, user_id, findings)
        if moved is None:
            continue
        if moved.key.id in keys:
            findings.leave("api_keys", old.id, "its owner has the same key twice")
            continue
        keys[moved.key.id] = moved
    return list(keys.values())


def planned_subscription(rows: Iterable[Old], user: User, findings: Findings) -> tuple[str, Subscription] | None:
    """Return the one subscription of an owner, with its id in the predecessor; None: there is none.

    Preferred are subscriptions with an id of Stripe's, then active ones, paid ones, and the newest. All the others are
    reported.
    """
    planned = [(old, _planned_subscription(old, user, findings)) for old in rows]
    known = []
    for old, subscription in planned:
        if subscription.stripe_customer_id is None and subscription.stripe_subscription_id is None:
            findings.leave("subscriptions", old.id, "it is a placeholder: Stripe knows nothing of it")
        else:
            known.append((old, subscription))
    known.sort(key=_worth, reverse=True)
    for old, _ in known[1:]:
        findings.leave("subscriptions", old.id, "its owner has another subscription")
    if not known:
        return None
    old, subscription = known[0]
    if subscription.stripe_subscription_id is not None and subscription.current_period_end is None:
        findings.note("subscriptions", old.id, "its period was never stored: ask Stripe for it")
    return old.id, subscription


def _worth(planned: tuple[Old, Subscription]) -> tuple[bool, bool, bool, datetime]:
    old, subscription = planned
    is_active = subscription.status is not SubscriptionStatus.CANCELED
    return subscription.stripe_subscription_id is not None, is_active, is_paid(old.values), subscription.updated_at


def _planned_key(old: Old, user_id: str, findings: Findings) -> MovedKey | None:
    key_hash = (text(old.values.get("key_hash")) or "").lower()
    if not _DIGEST.fullmatch(key_hash):
        findings.leave("api_keys", old.id, "its hash is no SHA-256: no key could ever fit it")
        return None
    _note_dates(old, findings)
    used_at = moment(old.values.get("last_used_at"))
    prefix = text(old.values.get("prefix")) or ""
    head = _HEAD.search(prefix)
    if not prefix.startswith((LIVE_PREFIX, TEST_PREFIX)):
        findings.note("api_keys", old.id, "its prefix is unknown: it counts as a live key")
    key = IssuedKey(
        id=key_id(key_hash),
        user_id=user_id,
        prefix=TEST_PREFIX if prefix.startswith(TEST_PREFIX) else LIVE_PREFIX,
        key_hash=key_hash,
        last_six="" if head is None else head[1],
        name=_name(old, findings),
        created_at=old.at,
        revoked_at=None if _is_active(old, findings) else moment(old.values.get("updated_at")) or used_at or old.at,
    )
    return MovedKey(
        old_id=old.id,
        key=key,
        uses=_uses(old, findings),
        last_used_at=None if used_at is None else used_at.replace(second=0, microsecond=0),
    )


def _planned_subscription(old: Old, user: User, findings: Findings) -> Subscription:
    _note_dates(old, findings)
    status = text(old.values.get("status"))
    if status not in tuple(SubscriptionStatus):
        findings.note("subscriptions", old.id, "its status is unknown: it counts as incomplete", detail=str(status))
        status = SubscriptionStatus.INCOMPLETE
    tier = text(old.values.get("tier"))
    updated_at = moment(old.values.get("updated_at")) or old.at
    return Subscription(
        id=derived_id(old.at, f"moved subscription {old.id}"),
        user_id=user.id,
        stripe_customer_id=_stripe_id(old, "stripe_customer_id", findings),
        stripe_subscription_id=_stripe_id(old, "stripe_subscription_id", findings),
        tier=Tier(tier) if tier in tuple(Tier) else user.tier,
        status=SubscriptionStatus(status),
        current_period_start=moment(old.values.get("current_period_start")),
        current_period_end=moment(old.values.get("current_period_end")),
        cancel_at_period_end=bool(old.values.get("cancel_at_period_end")),
        created_at=old.at,
        updated_at=updated_at,
    )


def _stripe_id(old: Old, field: str, findings: Findings) -> str | None:
    stripe_id = text(old.values.get(field))
    if stripe_id is not None and not is_key_part(stripe_id):
        findings.note("subscriptions", old.id, "a Stripe id of it is none", detail=f"{field}: {stripe_id}")
        return None
    return stripe_id


def _tier(old: Old, findings: Findings) -> Tier:
    tier = text(old.values.get("tier"))
    if tier in tuple(Tier):
        return Tier(tier)
    findings.note("users", old.id, "it has no known tier: it gets hobby", detail=str(tier))
    return Tier.HOBBY


def _role(old: Old, findings: Findings) -> Role:
    role = text(old.values.get("role"))
    if role in tuple(Role):
        return Role(role)
    findings.note("users", old.id, "it has no known role: it gets user", detail=str(role))
    return Role.USER


def _name(old: Old, findings: Findings) -> str:
    name = (text(old.values.get("name")) or "").strip()
    if not name:
        findings.note("api_keys", old.id, f"it had no name: it is called {UNNAMED}")
        return UNNAMED
    while characters(name) > NAME_MOST:
        name = name[:-1]
    return name


def _is_active(old: Old, findings: Findings) -> bool:
    is_active = old.values.get("is_active", True)
    if is_active is None:
        findings.note("api_keys", old.id, "it was neither active nor not: it comes revoked")
    return is_active not in (None, 0, False, "", "0", "false")


def _uses(old: Old, findings: Findings) -> int:
    stored = old.values.get("usage_count")
    uses = count(stored)
    if uses is None and stored is not None:
        findings.note("api_keys", old.id, "its count of uses is none: it begins at 0", detail=str(stored))
    return uses or 0


def _note_dates(old: Old, findings: Findings) -> None:
    if not old.is_dated:
        findings.note(
            old.kind.table, old.id, "it has no readable date: it gets its owner's, or the earliest that is known"
        )
