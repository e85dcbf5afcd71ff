"""Accounts: sign-up, login, logout, the caller's own account, and passwords.

Links in mails are in `users_recovery`, the export of an account in `users_export`.
"""

import argon2  # noqa: F401 this function alone hashes passwords: its first event must not wait for the import
from fastapi import APIRouter, Request, Response

from handlers import users_export, users_recovery
from handlers.models.base import Body, Message, Success, example
from handlers.models.fields import Email, NewPassword, Secret
from handlers.models.keys import KEEP_THE_KEY, FreshKey
from handlers.models.openapi import BODY_ERRORS, SESSION_ERRORS, errors
from handlers.models.users import UserAnswer
from shared.core.clock import Instant
from shared.core.concurrency import gather_settled
from shared.core.errors import Conflict, TooManyAttempts, WrongPassword
from shared.web.auth import CallingSession, ClientAddress, RequestServices, SessionUser, given_token
from shared.web.cookies import clear_session, session_cookies, set_session
from shared.web.function import Function

routes = APIRouter(tags=["accounts"])
for part in (users_recovery, users_export):
    routes.routes += part.routes.routes  # an included router would hide its paths


class SignUp(Body):
    model_config = example({"email": "me@example.org", "password": "correct horse battery"})

    email: Email
    password: NewPassword


class LogIn(Body):
    model_config = example({"email": "me@example.org", "password": "correct horse battery"})

    email: Email
    password: Secret


class ChangePassword(Body):
    model_config = example({"currentPassword": "correct horse battery", "newPassword": "correct horse battery staple"})

    current_password: Secret
    new_password: NewPassword


class CloseAccount(Body):
    model_config = example({"password": "correct horse battery"})

    password: Secret


class SignupAnswer(Success):
    user: UserAnswer
    token: Secret
    expires_at: Instant
    api_key: FreshKey
    warning: str


class LoggedIn(Success):
    user: UserAnswer
    token: Secret
    expires_at: Instant


class Me(Success):
    user: UserAnswer


class PasswordChanged(Message):
    token: Secret
    expires_at: Instant


@routes.post("/api/v1/auth/signup", status_code=201, responses=errors(*BODY_ERRORS, Conflict, TooManyAttempts))
async def sign_up(body: SignUp, address: ClientAddress, services: RequestServices, response: Response) -> SignupAnswer:
    """Open an account, with a first API key and a session.

    The key's secret is in this answer only. A mail with a link confirms the address.
    """
    account = await services.accounts.sign_up(body.email, body.password, address=address)
    set_session(response, account.session, production=services.settings.production)
    return SignupAnswer(
        success=True,
        user=UserAnswer.model_validate(account.user),
        token=account.session.token,
        expires_at=account.session.expires_at,
        api_key=FreshKey.of(account.api_key),
        warning=KEEP_THE_KEY,
    )


@routes.post("/api/v1/auth/login", responses=errors(*BODY_ERRORS, WrongPassword, TooManyAttempts))
async def log_in(body: LogIn, address: ClientAddress, services: RequestServices, response: Response) -> LoggedIn:
    """Begin a session. Its token is in the answer, and in a cookie for browsers."""
    user, session = await services.accounts.log_in(body.email, body.password, address=address)
    set_session(response, session, production=services.settings.production)
    return LoggedIn(
        success=True, user=UserAnswer.model_validate(user), token=session.token, expires_at=session.expires_at
    )


@routes.post("/api/v1/auth/logout", responses=errors())
async def log_out(request: Request, services: RequestServices, response: Response) -> Message:
    """End the session of the `Authorization` header and those of the cookies, if any. Clear the cookies."""
    token = given_token(request)
    tokens = {*session_cookies(request).all, *((token,) if token else ())}
    await gather_settled(*(services.accounts.log_out(token) for token in tokens))
    clear_session(response, production=services.settings.production)
    return Message(success=True, message="Logged out")


@routes.get("/api/v1/auth/me", responses=errors(*SESSION_ERRORS))
async def me(user: SessionUser) -> Me:
    """Return the account of the session."""
    return Me(success=True, user=UserAnswer.model_validate(user))


@routes.delete("/api/v1/auth/me", responses=errors(*BODY_ERRORS, *SESSION_ERRORS, WrongPassword, TooManyAttempts))
async def close_account(
    calling: CallingSession, body: CloseAccount, address: ClientAddress, services: RequestServices, response: Response
) -> Message:
    """Close the account permanently. All its data is erased; then its address can sign up again."""
    await services.accounts.close(calling.user, password=body.password, address=address)
    clear_session(response, production=services.settings.production)
    return Message(success=True, message="Account closed. What it had is being erased")


@routes.post(
    "/api/v1/auth/change-password",
    responses=errors(*BODY_ERRORS, *SESSION_ERRORS, WrongPassword, TooManyAttempts),
)
async def change_password(
    calling: CallingSession,
    body: ChangePassword,
    address: ClientAddress,
    services: RequestServices,
    response: Response,
) -> PasswordChanged:
    """Change the password. All sessions end except the one of this request, and a new one begins."""
    session = await services.accounts.change_password(
        calling.user, calling.claims, current=body.current_password, new=body.new_password, address=address
    )
    set_session(response, session, production=services.settings.production)
    return PasswordChanged(success=True, message="Password changed", token=session.token, expires_at=session.expires_at)


handler = Function(routes, title="accounts", sends_mail=True)
