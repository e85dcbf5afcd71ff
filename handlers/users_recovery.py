"""Links in mails: confirmed addresses, and forgotten passwords."""

from fastapi import APIRouter

from handlers.models.base import Body, Message, example
from handlers.models.fields import Email, NewPassword, Secret
from handlers.models.openapi import BODY_ERRORS, SESSION_ERRORS, errors
from shared.core.errors import TooManyAttempts
from shared.web.auth import ClientAddress, RequestServices, SessionUser

routes = APIRouter(tags=["accounts"])


class ForgotPassword(Body):
    model_config = example({"email": "me@example.org"})

    email: Email


class ResetPassword(Body):
    model_config = example({"token": "as in the mail's link", "newPassword": "correct horse battery staple"})

    token: Secret
    new_password: NewPassword


class VerifyEmail(Body):
    model_config = example({"token": "as in the mail's link"})

    token: Secret


@routes.post("/api/v1/auth/forgot-password", responses=errors(*BODY_ERRORS, TooManyAttempts))
async def forgot_password(body: ForgotPassword, address: ClientAddress, services: RequestServices) -> Message:
    """Mail a link for a new password. Neither the answer nor its time shows whether the address has an account."""
    await services.recovery.forget(body.email, address=address)
    return Message(success=True, message="If this address has an account, a mail with a link is on its way")


@routes.post("/api/v1/auth/reset-password", responses=errors(*BODY_ERRORS))
async def reset_password(body: ResetPassword, services: RequestServices) -> Message:
    """Set a new password by the token of a mail's link. All sessions end.

    If the address was not confirmed before, the API keys made until now are revoked.
    """
    revoked = await services.recovery.reset(body.token, body.new_password)
    return Message(success=True, message=_reset_message(revoked))


@routes.post("/api/v1/auth/verify-email", responses=errors(*BODY_ERRORS))
async def verify_email(body: VerifyEmail, services: RequestServices) -> Message:
    """Confirm an e-mail address by the token of a mail's link."""
    await services.recovery.verify(body.token)
    return Message(success=True, message="E-mail address confirmed")


@routes.post("/api/v1/auth/resend-verification", responses=errors(*SESSION_ERRORS, TooManyAttempts))
async def resend_verification(user: SessionUser, address: ClientAddress, services: RequestServices) -> Message:
    """Mail the link that confirms the address again, unless it is confirmed."""
    await services.recovery.resend_verification(user, address=address)
    if user.email_verified:
        return Message(success=True, message="The e-mail address is confirmed already")
    return Message(success=True, message="A mail with a link is on its way")


def _reset_message(revoked: int) -> str:
    if revoked == 0:
        return "Password reset. Log in with the new one"
    keys = "1 API key was" if revoked == 1 else f"{revoked} API keys were"
    return f"Password reset. Log in with the new one. The address had never been confirmed, so {keys} revoked"
