"""Users, keys and subscriptions planned from rows of any content, and the assignment of addresses."""

import asyncio
import io
from typing import Any

import pytest

from shared.api_keys.minting import digest
from shared.plans import Tier
from shared.stores.port import Document
from shared.tables.subscriptions import SubscriptionStatus
from shared.tables.users import Role
from tests.tools.moving.predecessor import (
    BCRYPT_4,
    LIVE,
    MOVED_AT,
    OTHER,
    TEST,
    GivenSource,
    key_row,
    memo_row,
    user_row,
)
from tools.moving.accounts import MovedKey
from tools.moving.findings import Findings
from tools.moving.planning import MovedOwner, Planner
from tools.moving.working_copy import working_copy


async def planned(rows: dict[str, list[Document]]) -> tuple[dict[str, MovedOwner], dict[str, list[str]]]:
    """Return all users by their old ids, and the findings of each row, left out or not."""
    lines, findings_of = io.StringIO(), dict[str, list[str]]()
    findings = Findings(lines)
    with working_copy(now=MOVED_AT) as copy:
        await copy.fill(GivenSource(rows), findings)
        planner = Planner(copy, findings, now=MOVED_AT)
        owners = {old.id: planner.owner(old, planner.user_id(old)) for old in copy.users()}
        for table, _, why, _ in findings.whys():
            findings_of.setdefault(table, []).append(why)
    return owners, findings_of


def one(user: Document, **rows: list[Document]) -> tuple[MovedOwner, dict[str, list[str]]]:
    owners, whys = asyncio.run(planned({"users": [user], **rows}))
    return owners["user_1"], whys


def test_user_comes_with_tier_role_and_hash() -> None:
    owner, whys = one(user_row(tier="enterprise", role="admin", email="  Ada@Example.org "))
    user = owner.user
    assert (user.tier, user.role, user.email, user.password_hash) == (
        Tier.ENTERPRISE,
        Role.ADMIN,
        "ada@example.org",
        BCRYPT_4,
    )
    assert (user.moved_in, user.email_verified) == (True, True)
    assert whys == {}


@pytest.mark.parametrize("tier", [None, "gold", "", 5])
def test_user_of_no_known_tier_and_role_gets_the_least(tier: Any) -> None:
    owner, whys = one(user_row(tier=tier, role=tier))
    assert (owner.user.tier, owner.user.role) == (Tier.HOBBY, Role.USER)
    assert whys["users"] == ["it has no known role: it gets user", "it has no known tier: it gets hobby"]


@pytest.mark.parametrize("stored", ["35c97562" * 8, None, "", "$2b$31$" + 53 * "a", "plain text"])
def test_hash_of_no_known_form_is_not_kept(stored: Any) -> None:
    owner, whys = one(user_row(password_hash=stored))
    assert owner.user.password_hash == "!"
    assert len(whys["users"]) == 1


def test_address_stays_with_the_paid_account() -> None:
    """A paid account keeps an address of several, then the one used last; the other accounts get new addresses."""
    users = [
        user_row("old", email="ada@example.org"),
        user_row("paid", email="Ada@example.org", tier="pro"),
        user_row("used", email=" ada@EXAMPLE.org"),
    ]
    used = [memo_row(user="used", created_at="2026-11-27T00:00:00.000Z")]
    owners, whys = asyncio.run(planned({"users": users, "memos": used}))
    emails = {old_id: owner.user.email for old_id, owner in owners.items()}
    assert emails["paid"] == "ada@example.org"
    assert len(set(emails.values())) == 3
    assert all(emails[old_id].startswith("ada+moved-") for old_id in ("old", "used"))
    assert [owners[old_id].user.email_verified for old_id in ("old", "paid", "used")] == [False, True, False]
    assert len(whys["users"]) == 1
    without = asyncio.run(planned({"users": [users[0], users[2]], "memos": used}))[0]
    assert without["used"].user.email == "ada@example.org"


@pytest.mark.parametrize("email", ["root@localhost", "no address", None, "a@b@c", "x" * 300 + "@example.org"])
def test_address_that_is_none_gets_one_that_no_mail_reaches(email: Any) -> None:
    owner, whys = one(user_row(email=email))
    assert owner.user.email.endswith("@moved.invalid")
    assert whys["users"] == ["its address is none: it can log in by a made-up one, and no mail reaches it"]


def key(owner: MovedOwner) -> MovedKey:
    (moved,) = owner.keys
    return moved


def test_key_keeps_digest_uses_and_last_use() -> None:
    owner, _ = one(user_row(), api_keys=[key_row(LIVE)])
    moved = key(owner)
    assert (moved.key.key_hash, moved.key.id, moved.uses) == (digest(LIVE), digest(LIVE)[:32], 3)
    assert moved.last_used_at is not None
    assert moved.last_used_at.isoformat() == "2026-11-28T09:10:00+00:00"
    assert (moved.key.prefix, moved.key.last_six, moved.key.is_active(MOVED_AT)) == ("at_live_", "", True)


def test_seed_s_key_is_shown_by_what_is_known_of_it() -> None:
    owner, _ = one(user_row(), api_keys=[key_row(LIVE, prefix="at_live_5tBnKo1...FVXq")])
    assert (key(owner).key.prefix, key(owner).key.last_six) == ("at_live_", "FVXq")


@pytest.mark.parametrize("is_active", [0, False, None, "0", "false"])
@pytest.mark.parametrize(
    ("more", "revoked"),
    [
        ({"updated_at": "2026-11-20T00:00:00Z"}, "2026-11-20"),
        ({}, "2026-11-28"),
        ({"last_used_at": None}, "2026-11-01"),
    ],
)
def test_key_that_was_off_comes_revoked(is_active: Any, more: dict[str, Any], revoked: str) -> None:
    """The key is revoked at its last change, else at its last use, else at its creation."""
    owner, _ = one(user_row(), api_keys=[key_row(LIVE, is_active=is_active, **more)])
    revoked_at = key(owner).key.revoked_at
    assert revoked_at is not None
    assert revoked_at.date().isoformat() == revoked


def test_keys_that_cannot_come_are_reported() -> None:
    rows = [
        key_row(LIVE),
        key_row(LIVE, id="again"),
        key_row(TEST, key_hash="no digest"),
        key_row(OTHER, user="nobody"),
    ]
    owner, whys = one(user_row(), api_keys=rows)
    assert [moved.old_id for moved in owner.keys] == [key_row(LIVE)["id"]]
    assert set(whys["api_keys"]) >= {
        "its owner has the same key twice",
        "its hash is no SHA-256: no key could ever fit it",
        "its user does not exist",
    }


def subscription(row_id: str, **fields: Any) -> Document:
    row = {"id": row_id, "user_id": "user_1", "stripe_customer_id": f"cus_{row_id}", "stripe_subscription_id": ""}
    return row | {"status": "active", "tier": "pro", "updated_at": "2026-11-28T00:00:00Z"} | fields


def test_subscription_that_stripe_knows_is_kept() -> None:
    """The active one of two with Stripe's id is kept. Placeholders do not count."""
    rows = [
        subscription("a"),
        subscription("b", stripe_subscription_id="sub_b", status="canceled"),
        subscription("c", stripe_subscription_id="sub_c", current_period_end="2026-12-10T00:00:00Z"),
        subscription("d", stripe_customer_id=None, stripe_subscription_id=None),
    ]
    owner, whys = one(user_row(), subscriptions=rows)
    assert owner.subscription is not None
    old_id, kept = owner.subscription
    assert (old_id, kept.stripe_subscription_id, kept.status) == ("c", "sub_c", SubscriptionStatus.ACTIVE)
    assert whys["subscriptions"][:2] == [
        "its owner has another subscription",
        "it is a placeholder: Stripe knows nothing of it",
    ]


def test_subscription_without_a_period_is_reported() -> None:
    owner, whys = one(user_row(), subscriptions=[subscription("a", stripe_subscription_id="sub_a", status="odd")])
    assert owner.subscription is not None
    assert owner.subscription[1].status is SubscriptionStatus.INCOMPLETE
    assert "its period was never stored: ask Stripe for it" in whys["subscriptions"]
