"""An admin's reads and changes below the routes: closing accounts, the own role, malformed ids."""

from datetime import timedelta
from functools import partial

import pytest

from shared.accounts.accounts import SignedUp
from shared.core.clock import DAY
from shared.core.errors import Forbidden, NotFound
from shared.plans import Tier
from shared.services import Services
from shared.tables import Window
from shared.tables.housekeeping import DayFigures
from shared.tables.users import Role, User
from tests.support import NOON, signed_up

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(services: Services) -> User:
    made = await signed_up(services, "admin@example.org")
    return await services.tables.users.change(made.user.id, lambda row: row.model_copy(update={"role": Role.ADMIN}))


@pytest.fixture
async def closing(services: Services) -> SignedUp:
    """Return an account whose erasure has not ended."""
    made = await signed_up(services, "closing@example.org")
    await services.tables.users.change(made.user.id, lambda row: row.closed(NOON))
    return made


async def test_closing_account_is_gone_for_an_admin(services: Services, admin: User, closing: SignedUp) -> None:
    """A closing account is in no list, and cannot be found by its address, read, changed or closed."""
    administration, user_id = services.administration, closing.user.id
    assert [listed.user.id for listed in (await administration.users(Window())).rows] == [admin.id]
    assert (await administration.users(Window(), email=closing.user.email)).rows == []
    for refused in (
        administration.user(user_id),
        administration.change(admin, user_id, tier=Tier.PRO, role=None),
        administration.close(admin, user_id),
    ):
        with pytest.raises(NotFound):
            await refused
    assert (await services.tables.users.load(user_id)).tier is Tier.HOBBY


@pytest.mark.parametrize(("tier", "role"), [(Tier.PRO, None), (Tier.PRO, Role.ADMIN), (None, Role.ADMIN)])
async def test_admin_may_change_their_own_plan(
    services: Services, admin: User, tier: Tier | None, role: Role | None
) -> None:
    """An admin may change their own plan, with or without the same role in the request."""
    changed = await services.administration.change(admin, admin.id, tier=tier, role=role)
    assert (changed.tier, changed.role) == (tier or Tier.HOBBY, Role.ADMIN)


async def test_admin_keeps_the_role_and_the_account(services: Services, admin: User) -> None:
    """An admin can neither give up their own role nor close their own account."""
    for refused in (
        services.administration.change(admin, admin.id, tier=None, role=Role.USER),
        services.administration.close(admin, admin.id),
    ):
        with pytest.raises(Forbidden):
            await refused
    assert (await services.tables.users.load(admin.id)).role is Role.ADMIN


@pytest.mark.parametrize("key_id", ["", "no key", "a/b", "0" * 32, "ä"])
async def test_unknown_key_is_not_found(services: Services, admin: User, key_id: str) -> None:
    """An unknown id is 404, a malformed one too."""
    with pytest.raises(NotFound):
        await services.administration.revoke_key(admin, key_id)


async def test_figures_are_as_of_the_newest_pass(services: Services) -> None:
    """Figures contain the days that a pass has finished, each with its own calls."""
    assert (await services.administration.figures()).calls.as_of is None
    for ago in range(3):
        figures = DayFigures(as_of=NOON - timedelta(hours=ago) if ago else None, calls=10 + ago)
        await services.tables.housekeeping.change_day(NOON.date() - ago * DAY, partial(_replaced, figures))
    calls = (await services.administration.figures()).calls
    assert calls.as_of == NOON - timedelta(hours=1)
    assert (calls.last(1), calls.last(2), calls.last(3)) == (10, 21, 33)


def _replaced(after: DayFigures, _before: DayFigures) -> DayFigures:
    return after
