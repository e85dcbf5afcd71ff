"""Rotations of a key, for any end of the key, grace and time, and interrupted at any write."""

from datetime import datetime, timedelta
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.accounts.accounts import SignedUp
from shared.api_keys.api_keys import Expiry, NewKey
from shared.core.errors import AgentTalkError, Conflict, InvalidCredential, ValidationFailed
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Document, Key, StoreUnavailable
from shared.tables import API_KEYS, KEY_RINGS, Window
from shared.tables.api_keys import Rotatable
from shared.tables.issued_keys import KeyLimit, Scope
from shared.tables.usage_logs import Action
from tests.limits.gateways import ALL_STORES, stores
from tests.support import NOON, FailingStore, FakeClock, a_key, outcomes, repeatable, services_on, signed_up

pytestmark = pytest.mark.anyio

SECOND: Final = timedelta(seconds=1)
CALLS: Final = 9
"""More calls of the store than a rotation makes."""

RING: Final = 5
"""The call that writes the ring, after the reads of ring and key, the attempt, the old end and the new key."""

on_all: Final = pytest.mark.parametrize("kind", ALL_STORES)


async def is_good(services: Services, secret: str) -> bool:
    try:
        await services.api_keys.authenticate(secret)
    except InvalidCredential:
        return False
    return True


async def a_second_key(services: Services, ada: SignedUp, expires_at: datetime | None = None) -> NewKey:
    """Return a key with all fields that a rotation copies. It fills the ring."""
    return await services.api_keys.create(
        ada.user,
        name="Second",
        test=False,
        expires_at=expires_at,
        scopes=[Scope.MEMO_READ],
        limits={KeyLimit.MEMOS_PER_DAY: 7},
    )


seconds = st.one_of(st.sampled_from([0, 1, 3600, 7 * 86400]), st.integers(0, 7 * 86400))


@repeatable
@example(life=None, grace=0, grace_again=3600, later=1, at=RING, lost=False)
@example(life=None, grace=3600, grace_again=7200, later=60, at=RING, lost=False)
@example(life=7200, grace=0, grace_again=3600, later=7200, at=RING, lost=False)
@example(life=None, grace=0, grace_again=0, later=0, at=RING, lost=True)
@given(
    life=st.none() | st.integers(1, 9 * 86400),
    grace=seconds,
    grace_again=seconds,
    later=seconds,
    at=st.integers(0, CALLS) | st.integers(3, RING),
    lost=st.booleans(),
)
async def test_a_rotation_can_be_cut_short_anywhere(
    life: int | None, grace: int, grace_again: int, later: int, at: int, *, lost: bool
) -> None:
    """For any end of the key and any grace: killed at any write, and repeated at any time, a rotation leaves one
    key that replaces it, and the old one never outlives its end, nor becomes valid again."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    services = services_on(store, clock)
    ada = await signed_up(services)
    own_end = None if life is None else NOON + life * SECOND
    old = await a_second_key(services, ada, own_end)

    dying = services_on(FailingStore(store, at=at, lost=lost, for_good=True), clock)
    done, _ = await outcomes([dying.api_keys.rotate(ada.user, old.key.id, grace=grace * SECOND)])
    ends = [end for end in (own_end, NOON + grace * SECOND if done else None) if end is not None]
    good_before = await is_good(services, old.secret)
    assert good_before or grace == 0

    clock.advance(later * SECOND)
    good_before = await is_good(services, old.secret)
    assert not good_before or all(clock.at < end for end in ends)

    repeated: NewKey | AgentTalkError
    try:
        repeated = await services.api_keys.rotate(ada.user, old.key.id, grace=grace_again * SECOND)
        done.append(repeated)
        ends.append(clock.at + grace_again * SECOND)
    except AgentTalkError as refusal:
        repeated = refusal

    listed = {key.id: key for key in await services.tables.api_keys.of(ada.user.id, clock.at)}
    shown, checked = listed.pop(old.key.id), await services.tables.api_keys.get_issued(old.key.id)
    new = [key for key in listed.values() if key.id != ada.api_key.key.id]
    assert checked is not None
    if isinstance(repeated, ValidationFailed):
        assert own_end is not None, "only a key that has ended is refused"
        assert own_end <= clock.at
        assert new == []
        return
    (replacing,) = new
    assert shown.rotated_to == replacing.id
    assert not isinstance(repeated, Conflict) or replacing.id in repeated.message
    assert len(done) <= 1
    assert [made.key.id for made in done] in ([], [replacing.id])
    assert shown.expires_at == checked.expires_at
    assert checked.expires_at is not None
    assert all(checked.expires_at <= end for end in ends)
    assert not (await is_good(services, old.secret)) or good_before, "it came back"
    assert (replacing.name, replacing.scopes, replacing.limits) == ("Second", old.key.scopes, old.key.limits)
    assert replacing.expires_at == own_end
    logs = await services.tables.usage_logs.page(ada.user.id, Window(), action=Action.KEY_ROTATED)
    assert [(log.api_key_id, log.metadata) for log in logs.rows] == [(old.key.id, {"rotatedTo": replacing.id})]


@pytest.mark.parametrize("lost", [False, True])
@on_all
@pytest.mark.thorough
async def test_a_rotation_is_finished_by_its_repeat_on(kind: str, *, lost: bool) -> None:
    """On every store a rotation that is killed at any call, then repeated, leaves one live key."""
    async with stores(kind, 1, seed=1) as (store,):
        services = services_on(store)
        for at in range(0, CALLS, 3 if kind == "dynamodb" else 1):  # moto takes 30 ms for a call
            ada = await signed_up(services, f"ada{at}@example.org")
            old = ada.api_key
            dying = services_on(FailingStore(store, at=at, lost=lost, for_good=True))
            done, _ = await outcomes([dying.api_keys.rotate(ada.user, old.key.id, grace=timedelta())])
            again, refused = await outcomes([services.api_keys.rotate(ada.user, old.key.id, grace=timedelta())])
            assert {type(refusal) for refusal in refused} <= {Conflict}
            newest, replaced = await services.tables.api_keys.of(ada.user.id, NOON)
            assert (replaced.id, replaced.rotated_to, replaced.is_active(NOON)) == (old.key.id, newest.id, False)
            assert not await is_good(services, old.secret)
            for made in (*done, *again):
                assert made.key.id == newest.id
                assert await is_good(services, made.secret)


@on_all
@pytest.mark.thorough
async def test_of_rotations_at_once_one_makes_a_key_on(kind: str) -> None:
    """One of twenty concurrent rotations makes a key; the others get its id, and leave no usable key."""
    async with stores(kind, 1, seed=1) as (store,):
        services = services_on(store)
        ada = await signed_up(services)
        graces = [timedelta(hours=number % 3) for number in range(20)]
        made, refused = await outcomes(
            services.api_keys.rotate(ada.user, ada.api_key.key.id, grace=grace) for grace in graces
        )
        assert len(made) == 1
        assert {type(refusal) for refusal in refused} == {Conflict}
        assert all(made[0].key.id in str(refusal) for refusal in refused)
        newest, replaced = await services.tables.api_keys.of(ada.user.id, NOON)
        checked = await services.tables.api_keys.get_issued(ada.api_key.key.id)
        assert checked is not None
        assert (newest.id, replaced.rotated_to) == (made[0].key.id, newest.id)
        assert replaced.expires_at == checked.expires_at, "the list shows the end that checks enforce"
        assert len((await store.scan(API_KEYS)).rows) == 2
        logs = await services.tables.usage_logs.page(ada.user.id, Window(), action=Action.KEY_ROTATED)
        assert len(logs.rows) == 1


async def test_a_rotation_shows_the_end_when_the_ring_fails(store: MemoryStore, services: Services) -> None:
    """If the ring cannot be written, the list still shows that the old key ended, and a repeat replaces it."""
    ada = await signed_up(services)
    old = ada.api_key.key
    failing = services_on(FailingStore(store, at=RING))
    with pytest.raises(StoreUnavailable):
        await failing.api_keys.rotate(ada.user, old.id, grace=timedelta())
    (shown,) = await services.tables.api_keys.of(ada.user.id, NOON)
    assert (shown.is_active(NOON), shown.rotated_to) == (False, None)
    new = await services.api_keys.rotate(ada.user, old.id, grace=timedelta(days=1))
    newest, replaced = await services.tables.api_keys.of(ada.user.id, NOON)
    assert (newest.id, replaced.is_active(NOON)) == (new.key.id, False)


async def test_a_key_that_is_revoked_meanwhile_has_no_successor(store: MemoryStore, services: Services) -> None:
    """If the key is revoked meanwhile, the rotation is refused and leaves no new key."""
    ada = await signed_up(services)
    keys, old = services.tables.api_keys, ada.api_key.key
    read = await keys.rotatable(ada.user.id, old.id, NOON)
    assert isinstance(read, Rotatable)
    await keys.revoke(ada.user.id, old.id, NOON)
    with pytest.raises(ValidationFailed):
        await keys.rotate(read, a_key(ada.user.id), ends_at=NOON)
    assert [row.key for row in (await store.scan(API_KEYS)).rows] == [Key(old.id)]


async def test_a_new_key_has_the_end_that_was_asked_for(services: Services) -> None:
    """A rotation's own expiry wins over the old key's, also one of never; one that has passed is refused."""
    ada = await signed_up(services)
    old = await a_second_key(services, ada, NOON + timedelta(hours=1))
    with pytest.raises(ValidationFailed):
        await services.api_keys.rotate(ada.user, old.key.id, grace=timedelta(), expiry=Expiry(at=NOON))
    forever = await services.api_keys.rotate(ada.user, old.key.id, grace=timedelta(), expiry=Expiry(at=None))
    assert forever.key.expires_at is None
    until = await services.api_keys.rotate(
        ada.user, forever.key.id, grace=timedelta(), expiry=Expiry(at=NOON + timedelta(days=2))
    )
    assert until.key.expires_at == NOON + timedelta(days=2)


async def test_keys_in_grace_are_no_more_than_the_plans(services: Services) -> None:
    """A full ring can rotate, but a chain of graces is refused, since it would allow any number of live keys."""
    ada = await signed_up(services)
    other, key = await a_second_key(services, ada), ada.api_key
    hour = timedelta(hours=1)
    await services.api_keys.rotate(ada.user, other.key.id, grace=hour)
    key = await services.api_keys.rotate(ada.user, key.key.id, grace=hour)
    with pytest.raises(ValidationFailed) as caught:
        await services.api_keys.rotate(ada.user, key.key.id, grace=hour)
    assert caught.value.details == {"limit": 2}
    assert await services.api_keys.rotate(ada.user, key.key.id, grace=timedelta())


async def test_a_key_of_an_earlier_version_is_whole(store: MemoryStore, services: Services) -> None:
    """A row without scopes, limits and rotation has every scope and no limit, and can be limited and rotated."""
    ada = await signed_up(services)
    old = ada.api_key.key
    later = {"scopes", "rotated_to", "rotated_at", *KeyLimit}

    def earlier(document: Document | None) -> Document:
        assert document is not None
        return {name: value for name, value in document.items() if name not in later}

    ring = await store.get(KEY_RINGS, Key(ada.user.id))
    assert ring is not None
    await store.update(KEY_RINGS, Key(ada.user.id), lambda _: {"keys": [earlier(entry) for entry in ring["keys"]]})
    document = await store.get(API_KEYS, Key(old.id))
    await store.delete(API_KEYS, Key(old.id))
    await store.add(API_KEYS, Key(old.id), earlier(document))
    checked = await services.api_keys.authenticate(ada.api_key.secret)
    assert all(map(checked.may, Scope))
    assert checked.limits == {}
    limited = await services.api_keys.change(ada.user, old.id, limits={KeyLimit.CHARACTERS_PER_DAY: 5})
    assert (limited.limits, limited.used) == ({KeyLimit.CHARACTERS_PER_DAY: 5}, {KeyLimit.CHARACTERS_PER_DAY: 0})
    new = await services.api_keys.rotate(ada.user, old.id, grace=timedelta())
    assert new.key.limits == limited.limits
