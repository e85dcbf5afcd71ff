"""The answer to a new API key."""

from typing import Final, Self

from handlers.models.base import Answer
from handlers.models.fields import Secret
from shared.api_keys.api_keys import NewKey
from shared.core.clock import Instant

KEEP_THE_KEY: Final = "Save this API key now: it is not shown again."


class FreshKey(Answer):
    """A new key with its secret: no later answer contains it."""

    id: str
    key: Secret
    prefix: str
    name: str
    created_at: Instant

    @classmethod
    def of(cls, new: NewKey) -> Self:
        key = new.key
        return cls(id=key.id, key=new.secret, prefix=key.prefix, name=key.name, created_at=key.created_at)
