"""The answer for a user."""

from handlers.models.base import Answer
from shared.core.clock import Instant
from shared.plans import Tier
from shared.tables.users import Role


class UserAnswer(Answer):
    id: str
    email: str
    tier: Tier
    role: Role
    email_verified: bool
    created_at: Instant
    updated_at: Instant
