"""Translate the failure of a HYPR Micro request to the store error that the caller of a verb gets."""

from typing import Final

from shared.micro_errors import (
    DatabasesFull,
    DocumentExists,
    ForeignServer,
    MicroError,
    Rejected,
    Unreachable,
    UnsafeSegment,
    WrongKey,
)
from shared.stores import port as store

MEANINGS: Final[tuple[tuple[type[MicroError], type[store.StoreError], str], ...]] = (
    (DocumentExists, store.AlreadyExists, "the key is taken"),
    (UnsafeSegment, store.InvalidKey, "the server cannot address this key"),
    (WrongKey, store.StoreNotReady, "HYPR Micro refuses the API key: check HYPERMICRO_API_KEY or HYPR_APP_SLUG"),
    (
        DatabasesFull,
        store.StoreNotReady,
        "HYPR Micro has no room for one more database: it holds seven names until it restarts, misspelt ones too",
    ),
    (
        ForeignServer,
        store.StoreNotReady,
        "what answers is no HYPR Micro: check HYPR_URL or HYPR_PLATFORM_URL",
    ),
    (Unreachable, store.StoreUnavailable, "HYPR Micro cannot be reached"),
    (Rejected, store.StoreError, "HYPR Micro does not take this request"),
    (MicroError, store.StoreUnavailable, "HYPR Micro did not answer as it should"),
)
"""Failure of the wire client, store error, and its text. The first row that matches is used."""


def meaning(failure: Exception) -> store.StoreError | None:
    """Return the store error for a MicroError. None: it is another exception."""
    for kind, error, what in MEANINGS:
        if isinstance(failure, kind):
            return error(f"{what} ({failure})")
    return None
