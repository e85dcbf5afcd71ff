"""API keys of the session's user."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator

from handlers.models.base import Answer, Body, Message, Success, example
from handlers.models.fields import KeyName, Secret, required
from handlers.models.keys import KEEP_THE_KEY, FreshKey
from handlers.models.openapi import BODY_ERRORS, SESSION_ERRORS, errors
from handlers.models.plans import PlanLimits
from handlers.models.queries import up_to
from shared.api_keys.api_keys import DEFAULT_NAME, KeyState
from shared.core.clock import Instant
from shared.core.errors import NotFound, TooManyAttempts
from shared.plans import PLANS, Tier
from shared.tables.api_keys import ApiKey
from shared.web.auth import RequestServices, SessionUser
from shared.web.function import Function

routes = APIRouter(tags=["API keys"])


class CreateKey(Body):
    model_config = example({"name": "My agent", "test": False, "expiresAt": "2099-12-31"})

    name: KeyName | None = None
    test: bool | None = None
    expires_at: str | None = None


class RenameKey(Body):
    model_config = example({"name": "My laptop"})

    name: Annotated[KeyName, AfterValidator(required)]


class VerifyKey(Body):
    model_config = example({"key": "at_live_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})

    key: Secret


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


class KeyList(Success):
    keys: list[KeyAnswer]


class OneKey(Success):
    key: KeyAnswer


class CreatedKey(Success):
    key: FreshKey
    warning: str


class VerifiedKey(Answer):
    valid: bool
    code: KeyState
    key_id: str | None
    user_id: str | None
    tier: Tier | None
    expires_at: Instant | None
    limits: PlanLimits | None


@routes.post("/api/keys", status_code=201, responses=errors(*BODY_ERRORS, *SESSION_ERRORS, TooManyAttempts))
@routes.post(
    "/api/v1/dashboard/keys", status_code=201, responses=errors(*BODY_ERRORS, *SESSION_ERRORS, TooManyAttempts)
)
async def create_key(user: SessionUser, services: RequestServices, body: CreateKey | None = None) -> CreatedKey:
    """Make a key. The tier bounds how many are active. A `test` key makes simulated audio and spends no limit."""
    wanted = body or CreateKey()
    expires_at = None if wanted.expires_at is None else up_to("expiresAt", wanted.expires_at)
    new = await services.api_keys.create(
        user, name=wanted.name or DEFAULT_NAME, test=bool(wanted.test), expires_at=expires_at
    )
    return CreatedKey(success=True, key=FreshKey.of(new), warning=KEEP_THE_KEY)


@routes.get("/api/keys", responses=errors(*SESSION_ERRORS))
@routes.get("/api/v1/dashboard/keys", responses=errors(*SESSION_ERRORS))
async def list_keys(user: SessionUser, services: RequestServices) -> KeyList:
    """List all keys, newest first, revoked ones included."""
    keys = await services.tables.api_keys.of(user.id)
    return KeyList(success=True, keys=[_answer(key, services) for key in keys])


@routes.post("/api/keys/verify", responses=errors(*BODY_ERRORS, *SESSION_ERRORS))
async def verify_key(user: SessionUser, body: VerifyKey, services: RequestServices) -> VerifiedKey:
    """Verify one of the caller's own keys: whether a request with it would be served now. Spends nothing."""
    found = await services.api_keys.verify(user, body.key)
    return VerifiedKey(
        valid=found.state is KeyState.VALID,
        code=found.state,
        key_id=found.key.id if found.key else None,
        user_id=found.key.user_id if found.key else None,
        tier=user.tier if found.key else None,
        expires_at=found.key.expires_at if found.key else None,
        limits=PlanLimits.of(PLANS[user.tier]) if found.key else None,
    )


@routes.get("/api/keys/{key_id}", responses=errors(*SESSION_ERRORS, NotFound))
async def get_key(user: SessionUser, key_id: str, services: RequestServices) -> OneKey:
    return OneKey(success=True, key=_answer(await services.api_keys.load(user, key_id), services))


@routes.patch("/api/keys/{key_id}", responses=errors(*BODY_ERRORS, *SESSION_ERRORS, NotFound, TooManyAttempts))
async def rename_key(user: SessionUser, key_id: str, body: RenameKey, services: RequestServices) -> OneKey:
    return OneKey(success=True, key=_answer(await services.api_keys.rename(user, key_id, body.name), services))


@routes.delete("/api/keys/{key_id}", responses=errors(*SESSION_ERRORS, NotFound))
@routes.delete("/api/v1/dashboard/keys/{key_id}", responses=errors(*SESSION_ERRORS, NotFound))
@routes.post("/api/keys/{key_id}/revoke", responses=errors(*SESSION_ERRORS, NotFound))
async def revoke_key(user: SessionUser, key_id: str, services: RequestServices) -> Message:
    """Revoke a key, for good and in force at once."""
    await services.api_keys.revoke(user, key_id)
    return Message(success=True, message="API key revoked successfully")


def _answer(key: ApiKey, services: RequestServices) -> KeyAnswer:
    return KeyAnswer(
        id=key.id,
        prefix=key.prefix,
        masked_key=f"{key.prefix}***...{key.last_six}",
        name=key.name,
        usage_count=key.usage_count,
        last_used_at=key.last_used_at,
        is_active=key.is_active(services.clock()),
        created_at=key.created_at,
        expires_at=key.expires_at,
    )


handler = Function(routes, title="API keys")
