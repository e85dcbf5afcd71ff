"""API keys of the session's user."""

from datetime import timedelta

from fastapi import APIRouter

from handlers.models.base import Message
from handlers.models.keys import (
    ChangeKey,
    CreatedKey,
    CreateKey,
    KeyAnswer,
    KeyList,
    OneKey,
    RotateKey,
    VerifiedKey,
    VerifyKey,
)
from handlers.models.openapi import BODY_ERRORS, SESSION_ERRORS, errors
from handlers.models.plans import PlanLimits
from handlers.models.queries import up_to
from shared.api_keys.api_keys import DEFAULT_NAME, Expiry, KeyState
from shared.core.errors import Conflict, MissingField, NotFound, TooManyAttempts
from shared.plans import PLANS
from shared.tables.issued_keys import Scope
from shared.web.auth import RequestServices, SessionUser
from shared.web.function import Function

routes = APIRouter(tags=["API keys"])


@routes.post("/api/keys", status_code=201, responses=errors(*BODY_ERRORS, *SESSION_ERRORS, TooManyAttempts))
@routes.post(
    "/api/v1/dashboard/keys", status_code=201, responses=errors(*BODY_ERRORS, *SESSION_ERRORS, TooManyAttempts)
)
async def create_key(user: SessionUser, services: RequestServices, body: CreateKey | None = None) -> CreatedKey:
    """Make an API key. The plan limits the number of active keys.

    A `test` key makes simulated audio. Its memos do not count against the plan, but against a daily limit of their own.
    """
    wanted = body or CreateKey()
    new = await services.api_keys.create(
        user,
        name=wanted.name or DEFAULT_NAME,
        test=bool(wanted.test),
        expires_at=None if wanted.expires_at is None else up_to("expiresAt", wanted.expires_at),
        scopes=None if wanted.scopes is None else map(Scope, wanted.scopes),
        limits=None if wanted.limits is None else wanted.limits.numbers(),
    )
    return CreatedKey.of(new)


@routes.get("/api/keys", responses=errors(*SESSION_ERRORS))
@routes.get("/api/v1/dashboard/keys", responses=errors(*SESSION_ERRORS))
async def list_keys(user: SessionUser, services: RequestServices) -> KeyList:
    """List all keys, newest first, revoked ones included."""
    at = services.clock()
    keys = await services.tables.api_keys.of(user.id, at)
    return KeyList(success=True, keys=[KeyAnswer.of(key, at=at) for key in keys])


@routes.post("/api/keys/verify", responses=errors(*BODY_ERRORS, *SESSION_ERRORS))
async def verify_key(user: SessionUser, body: VerifyKey, services: RequestServices) -> VerifiedKey:
    """Return whether a request with one of the caller's own keys would be served now. Spends nothing."""
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
    """Return a key, without its secret."""
    key = await services.api_keys.load(user, key_id)
    return OneKey(success=True, key=KeyAnswer.of(key, at=services.clock()))


@routes.patch("/api/keys/{key_id}", responses=errors(*BODY_ERRORS, *SESSION_ERRORS, NotFound, TooManyAttempts))
async def change_key(user: SessionUser, key_id: str, body: ChangeKey, services: RequestServices) -> OneKey:
    """Rename a key, change its own limits, or both, effective immediately."""
    limits = {} if body.limits is None else body.limits.given()
    if not body.name and not limits:
        raise MissingField("name" if body.limits is None else "limits")
    key = await services.api_keys.change(user, key_id, name=body.name or None, limits=limits)
    return OneKey(success=True, key=KeyAnswer.of(key, at=services.clock()))


@routes.post(
    "/api/keys/{key_id}/rotate",
    status_code=201,
    responses=errors(*BODY_ERRORS, *SESSION_ERRORS, NotFound, Conflict, TooManyAttempts),
)
async def rotate_key(
    user: SessionUser, key_id: str, services: RequestServices, body: RotateKey | None = None
) -> CreatedKey:
    """Replace a key by a new one with the same name, scopes and limits. The old key ends after the grace period."""
    wanted = body or RotateKey()
    expires_at = None if wanted.expires_at is None else up_to("expiresAt", wanted.expires_at)
    new = await services.api_keys.rotate(
        user,
        key_id,
        grace=timedelta(seconds=wanted.grace_seconds or 0),
        expiry=None if wanted.keeps_expiry else Expiry(at=expires_at),
    )
    return CreatedKey.of(new)


@routes.delete("/api/keys/{key_id}", responses=errors(*SESSION_ERRORS, NotFound))
@routes.delete("/api/v1/dashboard/keys/{key_id}", responses=errors(*SESSION_ERRORS, NotFound))
@routes.post("/api/keys/{key_id}/revoke", responses=errors(*SESSION_ERRORS, NotFound))
async def revoke_key(user: SessionUser, key_id: str, services: RequestServices) -> Message:
    """Revoke a key permanently, effective immediately. Repeatable."""
    await services.api_keys.revoke(user, key_id)
    return Message(success=True, message="API key revoked successfully")


handler = Function(routes, title="API keys")
