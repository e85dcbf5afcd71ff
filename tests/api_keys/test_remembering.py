"""Which keys a container remembers: as it last checked them, and of more than 1,024 those of the last checks."""

import pytest

from shared.api_keys.api_keys import KEYS_REMEMBERED, new_key
from shared.services import Services
from shared.stores.port import Key, Store
from shared.tables import API_KEYS
from tests.support import NOON

pytestmark = pytest.mark.anyio


async def test_container_forgets_the_key_checked_longest_ago(store: Store, services: Services) -> None:
    """The 1,025th key displaces one, which is not the oldest if that was checked again."""
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
