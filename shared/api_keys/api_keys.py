"""The life of API keys: issued, checked, verified, changed, rotated, revoked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic.alias_generators import to_camel

from shared.activity import UsageRecorder
from shared.api_keys.minting import digest, find, mint_api_key
from shared.api_keys.revocation import revoke
from shared.core.clock import Clock
from shared.core.errors import AgentTalkError, Conflict, InvalidCredential, KeyRevoked, ValidationFailed
from shared.core.ids import derived_id
from shared.core.remembered import Remembered
from shared.limits.attempts import Attempts
from shared.limits.quotas import Quotas
from shared.observability import request_stats
from shared.plans import PLANS
from shared.tables import ApiKeys, key_id
from shared.tables.api_keys import Rotatable, Rotation, too_many
from shared.tables.issued_keys import LIVE_PREFIX, TEST_PREFIX, ApiKey, IssuedKey, KeyLimit, Scope
from shared.tables.usage_logs import Action
from shared.tables.users import User

DEFAULT_NAME: Final = "Default Key"

MOST_GRACE: Final = timedelta(days=7)
"""The longest time for which a rotated key stays valid. With a longer one a rotation would not end the old key soon."""

KEYS_REMEMBERED: Final = 1024
"""Keys that a container remembers, half a kilobyte each. A request with a forgotten key takes a round trip more."""


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key with its secret, which the owner gets once."""

    key: IssuedKey
    secret: str = field(repr=False)


class KeyState(StrEnum):
    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """The end of a key; `at` of None: never."""

    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The outcome of a verification. `key` is None if the key is unknown or belongs to another owner."""

    state: KeyState
    key: IssuedKey | None = None


def new_key(
    user_id: str,
    *,
    name: str,
    at: datetime,
    test: bool = False,
    expires_at: datetime | None = None,
    scopes: Iterable[Scope] | None = None,
    limits: Mapping[KeyLimit, int] | None = None,
) -> NewKey:
    """Mint a key, which is valid once it is stored. `scopes` of None: all scopes."""
    secret = mint_api_key(test=test)
    key = IssuedKey(
        id=key_id(digest(secret)),
        user_id=user_id,
        prefix=TEST_PREFIX if test else LIVE_PREFIX,
        key_hash=digest(secret),
        last_six=secret[-6:],
        name=name,
        created_at=at,
        expires_at=expires_at,
        scopes=None if scopes is None else tuple(scopes),
        **{limit.value: most for limit, most in (limits or {}).items()},
    )
    return NewKey(key=key, secret=secret)


class ApiKeyService:
    def __init__(
        self, *, keys: ApiKeys, quotas: Quotas, attempts: Attempts, recorder: UsageRecorder, clock: Clock
    ) -> None:
        self._keys = keys
        self._quotas = quotas
        self._attempts = attempts
        self._recorder = recorder
        self._clock = clock
        self._known = Remembered[str, IssuedKey](KEYS_REMEMBERED)

    async def authenticate(self, secret: str) -> IssuedKey:
        """Return the key of a secret, in one read.

        Raises InvalidCredential if the key is unknown or expired, KeyRevoked if it was revoked.
        """
        try:
            key = await find(self._keys, secret)
            if key is None:
                raise InvalidCredential("Invalid API key")
            request_stats.current().key_id = key.id
            if key.revoked_at is not None:
                raise KeyRevoked
            if not key.is_active(self._clock()):
                raise InvalidCredential("API key has expired")
        except AgentTalkError:
            self._known.pop(digest(secret), None)
            raise
        self._known[key.key_hash] = key
        return key

    def remembered(self, secret: str) -> IssuedKey | None:
        """Return the key as of this container's last successful check.

        None: check it first. A key never changes its owner, so reads and reservations for the owner may begin beside
        the check. The check alone decides whether the key is still valid.
        """
        return self._known.get(digest(secret))

    async def verify(self, user: User, secret: str) -> Verification:
        """Return the state that a request with an owner's key would find now. Spends nothing."""
        key = await find(self._keys, secret)
        if key is None or key.user_id != user.id:
            return Verification(state=KeyState.NOT_FOUND)
        if key.revoked_at is not None:
            return Verification(state=KeyState.REVOKED, key=key)
        if not key.is_active(self._clock()):
            return Verification(state=KeyState.EXPIRED, key=key)
        if (await self._quotas.left(user, key, self._clock())) == 0:
            return Verification(state=KeyState.LIMIT_EXCEEDED, key=key)
        return Verification(state=KeyState.VALID, key=key)

    async def create(
        self,
        user: User,
        *,
        name: str,
        test: bool,
        expires_at: datetime | None,
        scopes: Iterable[Scope] | None = None,
        limits: Mapping[KeyLimit, int] | None = None,
    ) -> NewKey:
        """Make a key.

        Raises ValidationFailed if the owner has as many active keys as the tier admits, or the expiry has passed, and
        TooManyAttempts if the owner has changed too many keys within the hour.
        """
        at = self._clock()
        _check_expiry(expires_at, at)
        new = new_key(user.id, name=name, at=at, test=test, expires_at=expires_at, scopes=scopes, limits=limits)
        attempt = self._attempts.key_change(user.id)
        attempt.refuse_if_known()
        async with attempt.unless_it_fails():
            await self._keys.create(new.key, max_active=PLANS[user.tier].limits.max_api_keys, admitted=attempt.begin())
        await self._recorder.try_record(Action.KEY_CREATED, user_id=user.id, at=new.key.created_at, key=new.key)
        return new

    async def load(self, user: User, api_key_id: str) -> ApiKey:
        """Raises NotFound."""
        return await self._keys.load(user.id, api_key_id, self._clock())

    async def change(
        self,
        user: User,
        api_key_id: str,
        *,
        name: str | None = None,
        limits: Mapping[KeyLimit, int | None] | None = None,
    ) -> ApiKey:
        """Rename a key, change some of its own limits, or both, in force at once. None removes a limit.

        Raises NotFound, and TooManyAttempts if the owner has changed too many keys within the hour.
        """
        attempt, at = self._attempts.key_change(user.id), self._clock()
        async with attempt.unless_it_fails():
            await attempt.begin()
            if name is not None:
                await self._keys.rename(user.id, api_key_id, name, at)
            if limits:
                await self._keys.limit(user.id, api_key_id, limits, at)
        key = await self.load(user, api_key_id)
        if limits:
            metadata = {"limits": {to_camel(limit): most for limit, most in limits.items()}}
            await self._recorder.try_record(Action.KEY_LIMITED, user_id=user.id, at=at, key=key, metadata=metadata)
        return key

    async def rotate(self, user: User, api_key_id: str, *, grace: timedelta, expiry: Expiry | None = None) -> NewKey:
        """Replace a key by a new one with the same name, scopes and limits.

        The old key ends after `grace`, or at its own expiry if that is sooner. `expiry` is the new key's; None: the old
        key's. Raises NotFound, Conflict if the key was rotated already, TooManyAttempts as `create` does, and
        ValidationFailed if the key or the given expiry has ended, or if there is a grace and as many keys as the plan
        admits are in grace already.
        """
        at = self._clock()
        if expiry is not None:
            _check_expiry(expiry.at, at)
        attempt = self._attempts.key_change(user.id)
        attempt.refuse_if_known()
        old = await self._keys.rotatable(user.id, api_key_id, at)
        if isinstance(old, Rotation):
            raise await self._rotated(old)
        most = PLANS[user.tier].limits.max_api_keys
        if grace and old.in_grace >= most:
            raise too_many(most)
        new = _successor(old, at, expiry)
        async with attempt.unless_it_fails():
            await attempt.begin()
            done = await self._keys.rotate(old, new.key, ends_at=at + grace)
            if done.to != new.key.id:
                raise await self._rotated(done)
        await self._record_rotation(done)
        return new

    async def _rotated(self, done: Rotation) -> Conflict:
        """Return the refusal of a second rotation. Records the first one, in case its own call was interrupted."""
        await self._record_rotation(done)
        return Conflict(f"API key was rotated already, to the key {done.to}: rotate or revoke that one")

    async def _record_rotation(self, done: Rotation) -> None:
        """Record a rotation. Repeats write the same log."""
        await self._recorder.try_record(
            Action.KEY_ROTATED,
            user_id=done.key.user_id,
            at=done.at,
            key=done.key,
            metadata={"rotatedTo": done.to},
            log_id=derived_id(done.at, f"rotated {done.key.id}"),
        )

    async def revoke(self, user: User, api_key_id: str) -> None:
        """Revoke a key for good, in force at once, and record it once. Repeatable. Raises NotFound."""
        await revoke(self._keys, self._recorder, user.id, api_key_id, self._clock())


def _successor(old: Rotatable, at: datetime, expiry: Expiry | None) -> NewKey:
    return new_key(
        old.key.user_id,
        name=old.key.name,
        at=at,
        test=old.key.is_test,
        expires_at=old.key.expires_at if expiry is None else expiry.at,
        scopes=old.key.scopes,
        limits=old.key.limits,
    )


def _check_expiry(expires_at: datetime | None, at: datetime) -> None:
    if expires_at is not None and expires_at <= at:
        raise ValidationFailed("expiresAt must be in the future", details={"field": "expiresAt"})
