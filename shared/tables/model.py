"""The row models: what is kept of users, API keys, memos, usage logs and subscriptions.

A row is a frozen model; `document` is its JSON form, as the stores keep it. What changes with every call (uses, last
use) is kept beside the rows, and answered by the typed helpers in `tables/`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.core.clock import Instant
from shared.plans import Tier
from shared.stores.port import Document

ENDED = "ended_"
"""Begins the extension of a user's row for a session that was logged out: `ended_<session id>` → the session's own end,
in epoch seconds."""


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


class Action(StrEnum):
    """What usage logs record."""

    MEMO_CREATED = "memo_created"
    MEMO_FAILED = "memo_failed"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    USER_SIGNUP = "user_signup"
    USER_LOGIN = "user_login"
    ERROR_API = "error_api"
    ERROR_TTS = "error_tts"
    ERROR_RATE_LIMIT = "error_rate_limit"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def read(cls, document: Document) -> Self:
        return cls.model_validate(document)

    def document(self) -> Document:
        return self.model_dump(mode="json")


class User(_Row):
    """Tokens are SHA-256 digests, with the time at which they end. A raised `session_version` ends every session begun
    under a lower one; `ended_sessions` are those that were logged out, with their ends in epoch seconds."""

    id: str
    email: str
    password_hash: str = Field(repr=False)
    tier: Tier
    role: Role
    email_verified: bool
    session_version: int
    verification_token: str | None = Field(default=None, repr=False)
    verification_token_expires: Instant | None = None
    reset_token: str | None = Field(default=None, repr=False)
    reset_token_expires: Instant | None = None
    created_at: Instant
    updated_at: Instant
    ended_sessions: dict[str, int] = Field(default_factory=dict, exclude=True)

    @classmethod
    def read(cls, document: Document) -> Self:
        ended = {field.removeprefix(ENDED): end for field, end in document.items() if field.startswith(ENDED)}
        return cls.model_validate({**document, "ended_sessions": ended})


class IssuedKey(_Row):
    """What a check of an API key needs: one fact, extended by `name` and `revoked_at`. `id` derives from `key_hash`."""

    id: str
    user_id: str
    prefix: str
    key_hash: str = Field(repr=False)
    last_six: str = Field(repr=False)
    name: str
    created_at: Instant
    expires_at: Instant | None = None
    revoked_at: Instant | None = None

    @property
    def is_test(self) -> bool:
        return self.prefix == "at_test_"

    def is_active(self, at: datetime) -> bool:
        """Neither revoked nor past its end."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class ApiKey(IssuedKey):
    """An owner's API key with its history. `last_used_at` is to the minute; None: never used."""

    updated_at: Instant
    usage_count: int = 0
    last_used_at: Instant | None = None


class Memo(_Row):
    """`audio_url` is relative to `PUBLIC_URL`; `character_count` counts UTF-16 code units."""

    id: str
    user_id: str
    text: str
    audio_url: str
    duration_seconds: float
    voice: str
    character_count: int
    title: str | None
    created_at: Instant


class UsageLog(_Row):
    """Something that happened to an owner. The key's name and prefix are those it had then; None: no key had a part."""

    id: str
    user_id: str
    api_key_id: str | None = None
    api_key_name: str | None = None
    api_key_prefix: str | None = None
    action: Action
    metadata: dict[str, Any]
    created_at: Instant


class SubscriptionStatus(StrEnum):
    ACTIVE = "active"
    TRIALING = "trialing"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    UNPAID = "unpaid"
    PAUSED = "paused"
    INCOMPLETE = "incomplete"


class Subscription(_Row):
    id: str
    user_id: str
    stripe_customer_id: str | None = None
    stripe_subscription_id: str | None = None
    tier: Tier
    status: SubscriptionStatus
    current_period_start: Instant | None = None
    current_period_end: Instant | None = None
    cancel_at_period_end: bool = False
    created_at: Instant
    updated_at: Instant
