"""Bodies and answers about API keys."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from handlers.models.base import Answer, Body, Success, example
from handlers.models.fields import KeyName, Secret
from handlers.models.plans import PlanLimits
from shared.api_keys.api_keys import MOST_GRACE, KeyState, NewKey
from shared.core.clock import Instant
from shared.plans import Tier
from shared.stores.port import STEP
from shared.tables.issued_keys import ApiKey, KeyLimit, Scope

KEEP_THE_KEY: Final = "Save this API key now: it is not shown again."

MOST_GRACE_S: Final = int(MOST_GRACE.total_seconds())


def _scopes(names: list[str]) -> list[str]:
    options = [scope.value for scope in Scope]
    if not names or not set(names) <= set(options):
        said = f"must be some of {', '.join(options)}"
        raise PydanticCustomError("VALIDATION_ERROR", said, {"validOptions": options})
    return [scope for scope in options if scope in names]


ScopeNames = Annotated[
    list[Annotated[str, Field(json_schema_extra={"enum": [scope.value for scope in Scope]})]],
    Field(json_schema_extra={"minItems": 1}, fail_fast=True),
    AfterValidator(_scopes),
]
"""Names of scopes; validated, each once and in the order of `Scope`. The first wrong one ends the check: an answer has
one error, and a body has room for half a million, which would take a function's memory and time."""

Most = Annotated[int, Field(ge=1, le=STEP)] | None


LIMITS: Final = [to_camel(limit) for limit in KeyLimit]


class GivenLimits(Body):
    """The key's own limits; null: no such limit.

    Unlike in other bodies an unknown name is refused: a misspelt limit would leave the key without it.
    """

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    memos_per_day: Most = None
    characters_per_day: Most = None
    characters_per_month: Most = None

    @model_validator(mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        if isinstance(given, dict) and not given.keys() <= set(LIMITS):
            said = f"may have only {', '.join(LIMITS)}"
            raise PydanticCustomError("VALIDATION_ERROR", said, {"validOptions": LIMITS})
        return given

    def given(self) -> Mapping[KeyLimit, int | None]:
        """Return the limits that the body contains, those of null included."""
        return {limit: getattr(self, limit) for limit in KeyLimit if limit in self.model_fields_set}

    def numbers(self) -> Mapping[KeyLimit, int]:
        return {limit: most for limit, most in self.given().items() if most is not None}


class CreateKey(Body):
    model_config = example(
        {
            "name": "My agent",
            "test": False,
            "expiresAt": "2099-12-31",
            "scopes": ["memo:write", "memo:read"],
            "limits": {"memosPerDay": 50, "charactersPerMonth": 100_000},
        }
    )

    name: KeyName | None = None
    test: bool | None = None
    expires_at: str | None = None
    scopes: ScopeNames | None = None
    limits: GivenLimits | None = None


class ChangeKey(Body):
    """`name`, `limits`, or both. Limits that are not named stay unchanged."""

    model_config = example({"name": "My laptop", "limits": {"memosPerDay": 50, "charactersPerDay": None}})

    name: KeyName | None = None
    limits: GivenLimits | None = None


class RotateKey(Body):
    model_config = example({"graceSeconds": 3600})

    grace_seconds: Annotated[int, Field(ge=0, le=MOST_GRACE_S)] | None = Field(
        default=None, description="how long the old key goes on working; 0 by default"
    )
    expires_at: str | None = Field(
        default=None, description="the new key's end; null: none; by default that of the old key"
    )

    @property
    def keeps_expiry(self) -> bool:
        return "expires_at" not in self.model_fields_set


class VerifyKey(Body):
    model_config = example({"key": "at_live_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})

    key: Secret


class KeyLimitsAnswer(Answer):
    """The key's own limits; null: only the plan's apply."""

    memos_per_day: int | None
    characters_per_day: int | None
    characters_per_month: int | None


class KeyUsedAnswer(Answer):
    """The use of the key's own limits; null: the key has no such limit."""

    memos_today: int | None
    characters_today: int | None
    characters_this_month: int | None


class KeyAnswer(Answer):
    id: str
    prefix: str
    masked_key: str
    name: str
    usage_count: int
    last_used_at: Instant | None
    is_active: bool
    created_at: Instant
    expires_at: Instant | None
    scopes: list[Scope]
    limits: KeyLimitsAnswer
    used: KeyUsedAnswer
    rotated_to: str | None

    @classmethod
    def of(cls, key: ApiKey, *, at: datetime) -> Self:
        return cls(
            id=key.id,
            prefix=key.prefix,
            masked_key=f"{key.prefix}***...{key.last_six}",
            name=key.name,
            usage_count=key.usage_count,
            last_used_at=key.last_used_at,
            is_active=key.is_active(at),
            created_at=key.created_at,
            expires_at=key.expires_at,
            scopes=[scope for scope in Scope if key.may(scope)],
            limits=KeyLimitsAnswer.model_validate(key),
            used=KeyUsedAnswer(
                memos_today=key.used.get(KeyLimit.MEMOS_PER_DAY),
                characters_today=key.used.get(KeyLimit.CHARACTERS_PER_DAY),
                characters_this_month=key.used.get(KeyLimit.CHARACTERS_PER_MONTH),
            ),
            rotated_to=key.rotated_to,
        )


class KeyList(Success):
    keys: list[KeyAnswer]


class OneKey(Success):
    key: KeyAnswer


class FreshKey(Answer):
    """A new key with its secret, which no later answer contains."""

    id: str
    key: Secret
    prefix: str
    name: str
    created_at: Instant

    @classmethod
    def of(cls, new: NewKey) -> Self:
        key = new.key
        return cls(id=key.id, key=new.secret, prefix=key.prefix, name=key.name, created_at=key.created_at)


class CreatedKey(Success):
    key: FreshKey
    warning: str

    @classmethod
    def of(cls, new: NewKey) -> Self:
        return cls(success=True, key=FreshKey.of(new), warning=KEEP_THE_KEY)


class VerifiedKey(Answer):
    valid: bool
    code: KeyState
    key_id: str | None
    user_id: str | None
    tier: Tier | None
    expires_at: Instant | None
    limits: PlanLimits | None
