"""Confirmed addresses and forgotten passwords, by links in mails whose tokens sign the user's state.

Nothing is stored for a link. A token is `<user id>.<its end, epoch seconds>.<signature>`. It is good until the state
that it signs changes: so it works once, and a change of the password ends it.
"""

import asyncio
import hmac
import json
import logging
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from shared.accounts.passwords import Passwords
from shared.activity import UsageRecorder
from shared.api_keys.revocation import revoke
from shared.core.clock import Clock
from shared.core.concurrency import gather_settled
from shared.core.derived import Use, derived_key
from shared.core.errors import NotFound, ValidationFailed
from shared.core.ids import Ids
from shared.limits.attempts import Attempts
from shared.mail.messages import password_changed_mail, reset_mail, verify_mail
from shared.mail.sender import MailSender
from shared.observability import request_stats
from shared.tables import ApiKeys, Users
from shared.tables.usage_logs import Action
from shared.tables.users import User

MAIL_REST_S: Final = 0.2
"""Seconds before the answer of forgot-password at which its mail is given up: the container needs them to answer."""

Sleep = Callable[[float], Awaitable[None]]

_BAD_RESET: Final = "Invalid or expired reset token"
_BAD_VERIFICATION: Final = "Invalid verification token"

_log = logging.getLogger("agent_talk.security")


class Purpose(StrEnum):
    """The purpose of a link, and the name of its token in the link's fragment."""

    RESET = "reset"
    VERIFY = "verify"


LIVES: Final = {Purpose.RESET: timedelta(hours=1), Purpose.VERIFY: timedelta(hours=24)}


class RecoveryTokens:
    """Signs and checks the tokens of links. Their key is derived for them alone, so no session's token passes as one,
    nor the reverse."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._key = derived_key(secret, Use.RECOVERY)
        self._clock = clock

    def issue(self, purpose: Purpose, user: User) -> str:
        ends_at = int((self._clock() + LIVES[purpose]).timestamp())
        return f"{user.id}.{ends_at}.{self._signature(purpose, user, ends_at)}"

    def user_id(self, token: str) -> str | None:
        """Return the user's id that a token contains, without a check of its signature.

        None: this is no token, or it has expired.
        """
        user_id, ends_at, _ = _parts(token)
        return user_id if user_id and self._clock().timestamp() < ends_at else None

    def is_good(self, purpose: Purpose, token: str, user: User) -> bool:
        """Return whether the token was issued for this purpose and the user's state. Ignores its end."""
        _, ends_at, signature = _parts(token)
        expected = self._signature(purpose, user, ends_at)
        return hmac.compare_digest(signature.encode(), expected.encode())

    def _signature(self, purpose: Purpose, user: User, ends_at: int) -> str:
        """Return the signature, 43 characters. Each field is a JSON value, so that no two states are one text."""
        state: list[object] = [purpose, user.id, user.email, ends_at]
        if purpose is Purpose.RESET:
            state += [user.password_hash, user.session_version]
        else:
            state += [user.email_verified]
        digest = hmac.digest(self._key, json.dumps(state).encode(), "sha256")
        return urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, kw_only=True)
class Links:
    """The page that links lead to, and the seconds from a request of forgot-password to its answer."""

    app_url: str
    answer_after_s: float

    def to(self, purpose: Purpose, token: str) -> str:
        """Return a link with the token in its fragment.

        Browsers send a fragment to no server, so no log contains it.
        """
        return f"{self.app_url}#{purpose}={token}"


class Recovery:
    def __init__(
        self,
        *,
        users: Users,
        keys: ApiKeys,
        passwords: Passwords,
        tokens: RecoveryTokens,
        attempts: Attempts,
        recorder: UsageRecorder,
        mail: MailSender,
        links: Links,
        clock: Clock,
        ids: Ids,
        sleep: Sleep,
    ) -> None:
        self._users = users
        self._keys = keys
        self._passwords = passwords
        self._tokens = tokens
        self._attempts = attempts
        self._recorder = recorder
        self._mail = mail
        self._links = links
        self._clock = clock
        self._ids = ids
        self._sleep = sleep

    async def send_verification(self, user: User) -> None:
        """Mail the link that confirms the address. A failure of the mail is logged, not raised."""
        link = self._links.to(Purpose.VERIFY, self._tokens.issue(Purpose.VERIFY, user))
        await self._mail.try_send(verify_mail(user.email, link))

    async def resend_verification(self, user: User, *, address: str) -> None:
        """Mail the link once more, unless the address is confirmed. Raises TooManyAttempts."""
        if user.email_verified:
            return
        attempt = self._attempts.verification(address, user.id)
        async with attempt.unless_it_breaks():
            await attempt.begin()
        await self.send_verification(user)

    async def verify(self, token: str) -> None:
        """Mark the address as confirmed. Raises ValidationFailed unless the token is good."""
        user = await self._bearer(Purpose.VERIFY, token, _BAD_VERIFICATION)
        at = self._clock()

        def change(row: User) -> User:
            if not self._tokens.is_good(Purpose.VERIFY, token, row) or row.is_closing:
                raise _refused(_BAD_VERIFICATION)
            return row.model_copy(update={"email_verified": True, "updated_at": at})

        await self._change(user, change, _BAD_VERIFICATION)
        _log.info("address confirmed", extra={"user_id": user.id})

    async def forget(self, email: str, *, address: str) -> None:
        """Mail a link for a new password, if the address has an account.

        Returns at the same moment, and after the same two reads and one attempt, whether or not the address has an
        account and the mail was sent. Raises TooManyAttempts.
        """
        time_s = asyncio.get_running_loop().time
        ends = time_s() + self._links.answer_after_s
        attempt = self._attempts.reset(address, email)
        attempt.refuse_if_known()
        async with attempt.unless_it_breaks():
            _, user_id = await gather_settled(attempt.begin(), self._users.id_by_email(email))
            user = await self._users.get(user_id or self._ids.mint(self._clock()))
        if user is not None and user.email == email and not user.is_closing:
            link = self._links.to(Purpose.RESET, self._tokens.issue(Purpose.RESET, user))
            within_s = ends - MAIL_REST_S - time_s()
            await self._mail.try_send(reset_mail(email, link), within_s=within_s)
        await self._sleep(max(0.0, ends - time_s()))

    async def reset(self, token: str, new: str) -> int:
        """Change the password, end all sessions, and return how many keys were revoked.

        The link proves the address. If it was not confirmed before, a stranger may have made the keys, so all keys made
        until now are revoked, except those of accounts that moved in. Raises ValidationFailed unless the token is good;
        a bad token costs no hash.
        """
        user = await self._bearer(Purpose.RESET, token, _BAD_RESET)
        password_hash = await self._passwords.hash(new)
        at = self._clock()

        def change(row: User) -> User:
            # The token is no longer good if another reset was faster, or if the account was closed meanwhile.
            if not self._tokens.is_good(Purpose.RESET, token, row):
                raise _refused(_BAD_RESET)
            distrusted = not row.email_verified and not row.moved_in
            return row.without_sessions().model_copy(
                update={
                    "password_hash": password_hash,
                    "email_verified": True,
                    "keys_distrusted_until": at if distrusted else row.keys_distrusted_until,
                    "updated_at": at,
                }
            )

        changed = await self._change(user, change, _BAD_RESET)
        _log.info("password reset; all sessions ended", extra={"user_id": user.id})
        revoked = await self.revoke_distrusted(changed)
        await gather_settled(
            self._recorder.try_record(Action.PASSWORD_CHANGED, user_id=user.id, at=at),
            self._mail.try_send(password_changed_mail(user.email, self._links.app_url, revoked_keys=revoked)),
        )
        return revoked

    async def tell_of_change(self, user: User) -> None:
        """Mail that the password was changed. A failure of the mail is logged, not raised."""
        await self._mail.try_send(password_changed_mail(user.email, self._links.app_url))

    async def revoke_distrusted(self, user: User) -> int:
        """Revoke the keys that a reset distrusts, and return how many.

        Repeatable: every login calls it, so one finishes what an interrupted reset left.
        """
        until = user.keys_distrusted_until
        if until is None:
            return 0
        keys = await self._keys.void(user.id, until)
        for key in keys:
            await revoke(self._keys, self._recorder, user.id, key.id, until)
        await self._users.change(user.id, lambda row: _trusted(row, user))
        _log.info("keys of an account that was never confirmed were revoked", extra={"user_id": user.id})
        return len(keys)

    async def _bearer(self, purpose: Purpose, token: str, refusal: str) -> User:
        """Return the user of a token, in one read. Raises ValidationFailed(refusal) unless the token is good."""
        user_id = self._tokens.user_id(token)
        user = None if user_id is None else await self._users.get(user_id)
        if user is None or user.is_closing or not self._tokens.is_good(purpose, token, user):
            raise _refused(refusal)
        request_stats.current().user_id = user.id
        return user

    async def _change(self, user: User, change: Callable[[User], User], refusal: str) -> User:
        try:
            return await self._users.change(user.id, change)
        except NotFound as exc:  # erased meanwhile
            raise _refused(refusal) from exc


def _trusted(row: User, before: User) -> User:
    """Return the row without the mark, unless a later reset has set another one."""
    if row.keys_distrusted_until != before.keys_distrusted_until:
        return row
    return row.model_copy(update={"keys_distrusted_until": None})


def _refused(message: str) -> ValidationFailed:
    return ValidationFailed(message, details={"field": "token"})


def _parts(token: str) -> tuple[str, int, str]:
    """Return a token's user id, end in epoch seconds and signature. `("", 0, "")` if the end is no number."""
    user_id, _, rest = token.partition(".")
    ends_at, _, signature = rest.partition(".")
    if not (ends_at.isascii() and ends_at.isdigit() and len(ends_at) < 12):
        return "", 0, ""
    return user_id, int(ends_at), signature
