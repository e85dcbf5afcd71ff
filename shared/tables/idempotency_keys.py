"""Idempotency keys: for each, the run that may make its memo, and the ids that the memo has or will have."""

from enum import StrEnum
from typing import Self

from shared.core.clock import Instant
from shared.stores.port import AlreadyExists, Document, Key, Store
from shared.tables.model import RowModel
from shared.tables.schema import IDEMPOTENCY_KEYS


class Failure(StrEnum):
    """The point at which a run failed."""

    BEFORE_WRITES = "before_writes"
    """The run has not sent the memo, and never will."""

    IN_WRITES = "in_writes"
    """The memo may be stored, or its write may still arrive."""


class KeyedRun(RowModel):
    """The newest run of an idempotency key. Stored under the API key's id and a digest of the idempotency key, as

        {"run": "019c…", "began_at": "2026-03-02T08:00:00.000Z", "memo_id": "019c…", "file": "5d41…-9f0c….mp3",
         "created_at": "2026-03-02T08:00:00.000Z", "body": "2cf2…", "is_bound": false}

    `memo_id`, `file` and `created_at` are the parts of the memo that its request does not contain; `body` is a digest
    of the request. `is_bound`: an earlier run may still write the memo, so no run may change any of these. `failure` is
    an extension, `failed_<run>`, so a late one of an earlier run has no effect; None: the run has not failed.
    """

    run: str
    began_at: Instant
    memo_id: str
    file: str
    created_at: Instant
    body: str
    is_bound: bool
    failure: Failure | None = None

    @classmethod
    def read(cls, document: Document) -> Self:
        return cls.model_validate(document | {"failure": document.get(_failed(document["run"]))})

    def document(self) -> Document:
        return self.model_dump(mode="json", exclude={"failure"})

    @property
    def is_free(self) -> bool:
        """True if no run of this key has written a memo or ever will. The key counts as unused."""
        return self.failure is Failure.BEFORE_WRITES and not self.is_bound


class IdempotencyKeys:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, api_key_id: str, digest: str) -> KeyedRun | None:
        document = await self._store.get(IDEMPOTENCY_KEYS, Key(api_key_id, digest))
        return None if document is None else KeyedRun.read(document)

    async def begin(self, api_key_id: str, digest: str, run: KeyedRun, *, after: KeyedRun | None) -> None:
        """Make this the newest run, after the one that was read. None: there was none.

        Raises AlreadyExists if another run began meanwhile. At most one caller is ever acknowledged.
        """
        key = Key(api_key_id, digest)
        if after is None:
            await self._store.claim(IDEMPOTENCY_KEYS, key, run.document())
            return

        def take_over(before: Document | None) -> Document:
            if before is None or before["run"] != after.run:
                raise AlreadyExists(f"another run of {key} began")
            return run.document()

        await self._store.update(IDEMPOTENCY_KEYS, key, take_over)

    async def fail(self, api_key_id: str, digest: str, run: str, failure: Failure) -> None:
        """Let the next run begin at once, if this one is the newest."""
        await self._store.extend(IDEMPOTENCY_KEYS, Key(api_key_id, digest), _failed(run), failure)


def _failed(run: str) -> str:
    return f"failed_{run}"
