"""A key's list, use, check and count agree, whichever write of a revocation or a renaming fails."""

from collections.abc import Awaitable, Callable

import pytest

from shared.accounts.accounts import SignedUp
from shared.api_keys.api_keys import KeyState
from shared.core.errors import KeyRevoked, ValidationFailed
from shared.services import Services
from shared.stores.port import Change, Document, Key, Store, StoreUnavailable, Table, Updated
from shared.tables import API_KEYS, KEY_RINGS, Window
from shared.tables.usage_logs import Action
from tests.support import NOON, FailingStore, Intercepted, outcomes, services_on, signed_up

pytestmark = pytest.mark.anyio

CALLS = 10
"""More calls of the store than a renaming or a revocation makes."""


class _RingFails(Intercepted):
    """Fails every change of a key ring; with `lost`, the change still takes effect."""

    def __init__(self, store: Store, *, lost: bool = False) -> None:
        super().__init__(store)
        self._lost = lost

    async def update(self, table: Table, key: Key, change: Change) -> Updated:
        if table is not KEY_RINGS:
            return await super().update(table, key, change)
        if self._lost:
            await super().update(table, key, change)
        raise StoreUnavailable("the ring was not written")


class _ExtensionsFail(Intercepted):
    """Fails every extension of a check document."""

    async def extend(self, table: Table, key: Key, field: str, value: object) -> None:
        if table is API_KEYS:
            raise StoreUnavailable("the check document was not extended")
        await super().extend(table, key, field, value)


async def names(services: Services, ada: SignedUp) -> set[str]:
    """Return the key's names: in the list, in the single key, and in the log of a memo."""
    (listed,) = await services.tables.api_keys.of(ada.user.id, NOON)
    shown = await services.api_keys.load(ada.user, ada.api_key.key.id)
    checked = await services.api_keys.authenticate(ada.api_key.secret)
    return {listed.name, shown.name, checked.name}


async def is_active(services: Services, ada: SignedUp) -> set[bool]:
    """Return whether the key is active for the list, the ring, the check and a verification, as a set."""
    at = ada.user.created_at
    (listed,) = await services.tables.api_keys.of(ada.user.id, NOON)
    (counted,) = await services.tables.api_keys.ring(ada.user.id)
    checked = await services.tables.api_keys.get_by_hash(ada.api_key.key.key_hash)
    assert checked is not None
    verified = await services.api_keys.verify(ada.user, ada.api_key.secret)
    return {listed.is_active(at), counted.is_active(at), checked.is_active(at), verified.state is KeyState.VALID}


@pytest.mark.parametrize("lost", [False, True])
async def test_a_revocation_holds_when_the_ring_cannot_be_written(
    store: Store, services: Services, ada: SignedUp, *, lost: bool
) -> None:
    """List, use, verification and active-key count agree that it is revoked. A later write corrects the ring."""
    await services_on(_RingFails(store, lost=lost)).api_keys.revoke(ada.user, ada.api_key.key.id)
    assert await is_active(services, ada) == {False}
    with pytest.raises(KeyRevoked):
        await services.api_keys.authenticate(ada.api_key.secret)
    for _ in range(2):  # the hobby plan allows two active keys, and a revoked one does not count
        await services.api_keys.create(ada.user, name="next", test=False, expires_at=None)
    with pytest.raises(ValidationFailed):
        await services.api_keys.create(ada.user, name="one more", test=False, expires_at=None)
    ring: Document | None = await store.get(KEY_RINGS, Key(ada.user.id))
    assert ring is not None
    assert [entry["revoked_at"] is None for entry in ring["keys"]] == [False, True, True]


async def revoke(services: Services, ada: SignedUp) -> None:
    await services.api_keys.revoke(ada.user, ada.api_key.key.id)


async def rename(services: Services, ada: SignedUp) -> None:
    await services.api_keys.change(ada.user, ada.api_key.key.id, name="new")


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("at", range(CALLS))
async def test_a_revocation_agrees_after_a_repeat(
    store: Store, services: Services, ada: SignedUp, at: int, *, lost: bool
) -> None:
    """If any call fails, before or after its effect, a repeat leaves the key revoked everywhere, and logged once."""
    await outcomes([revoke(services_on(FailingStore(store, at=at, lost=lost)), ada)])
    await revoke(services, ada)
    assert await is_active(services, ada) == {False}
    logs = await services.tables.usage_logs.page(ada.user.id, Window(), action=Action.KEY_REVOKED)
    assert len(logs.rows) == 1


@pytest.mark.parametrize("fails", [_RingFails, lambda store: _RingFails(store, lost=True), _ExtensionsFail])
async def test_a_key_has_one_name_when_its_renaming_fails(
    store: Store, services: Services, ada: SignedUp, fails: Callable[[Store], Store]
) -> None:
    """However one kind of write fails, lists and logs have the same name, and a later renaming replaces it."""
    await outcomes([rename(services_on(fails(store)), ada)])
    assert len(await names(services, ada)) == 1
    await services.api_keys.change(ada.user, ada.api_key.key.id, name="later")
    assert await names(services, ada) == {"later"}


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("at", range(CALLS))
async def test_a_key_has_one_name_whichever_call_fails(
    store: Store, services: Services, ada: SignedUp, at: int, *, lost: bool
) -> None:
    """If any one call of a renaming fails, a repeat leaves the new name everywhere."""
    await outcomes([rename(services_on(FailingStore(store, at=at, lost=lost)), ada)])
    await rename(services, ada)
    assert await names(services, ada) == {"new"}


@pytest.mark.parametrize("seed", range(5))
async def test_renamings_at_once_leave_one_name(services: Services, ada: SignedUp) -> None:
    """One of several concurrent renamings takes effect, the same one for lists and for logs."""
    calls: list[Awaitable[object]] = [
        services.api_keys.change(ada.user, ada.api_key.key.id, name=f"name {number}") for number in range(8)
    ]
    _, raised = await outcomes(calls)
    assert raised == []
    assert len(await names(services, ada)) == 1


@pytest.fixture
async def ada(services: Services) -> SignedUp:
    return await signed_up(services)
