"""Find the account that an operator names by its address."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from handlers.models.fields import Email
from shared.tables import Users
from shared.tables.users import User
from tools.maintain.opened import Impossible

_EMAIL: Final = TypeAdapter[str](Email)


async def account(users: Users, email: str) -> User:
    """Return the account with this address, in any spelling that a login accepts.

    Raises Impossible if there is none.
    """
    try:
        user = await users.by_email(_EMAIL.validate_python(email))
    except ValidationError:
        user = None
    if user is None or user.is_closing:
        raise Impossible(f"there is no account {email}")
    return user
