"""The keys that a container remembers: the 1,024 of the last checks, as last checked."""

import pytest

from shared.api_keys.api_keys import KEYS_REMEMBERED, new_key
from shared.core.clock import HOUR, iso
from shared.core.errors import InvalidCredential, KeyRevoked
from shared.services import Services
from shared.stores.port import Key, Store
from shared.tables import API_KEYS
from tests.support import NOON, FakeClock

pytestmark = pytest.mark.anyio


async def test_container_forgets_the_key_checked_longest_ago(store: Store, services: Services) -> None:
    """The 1,025th key displaces the key whose last check is the oldest."""
    keys = [new_key("u", name="k", at=NOON) for _ in range(KEYS_REMEMBERED + 1)]
    for made in keys:
        await store.add(API_KEYS, Key(made.key.id), made.key.model_dump(mode="json"))
    first, second, *rest, last = (made.secret for made in keys)
    for secret in (first, second, *rest, first):
        await services.api_keys.authenticate(secret)
    assert all(services.api_keys.remembered(secret) for secret in (first, second, *rest))
    await services.api_keys.authenticate(last)
    assert services.api_keys.remembered(second) is None
    assert all(services.api_keys.remembered(secret) for secret in (first, *rest, last))


async def test_container_forgets_a_key_that_is_refused(store: Store, services: Services, clock: FakeClock) -> None:
    """A revoked, expired or erased key is forgotten when it is refused: no later call begins work for its owner."""
    revoked, expired, erased = (new_key("u", name="k", at=NOON, expires_at=clock() + HOUR) for _ in range(3))
    for new in (revoked, expired, erased):
        await store.add(API_KEYS, Key(new.key.id), new.key.model_dump(mode="json"))
        await services.api_keys.authenticate(new.secret)
    await store.extend(API_KEYS, Key(revoked.key.id), "revoked_at", iso(NOON))
    await store.delete(API_KEYS, Key(erased.key.id))
    for new, error in ((revoked, KeyRevoked), (erased, InvalidCredential), (expired, InvalidCredential)):
        if new is expired:
            clock.advance(HOUR)
        with pytest.raises(error):
            await services.api_keys.authenticate(new.secret)
        assert services.api_keys.remembered(new.secret) is None
