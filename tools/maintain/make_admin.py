"""Make a user an admin: the first one, since only an admin can make others."""

import argparse
from collections.abc import Mapping
from typing import Any

from shared.activity import UsageRecorder
from shared.core.clock import Clock
from shared.core.ids import Ids
from shared.tables import Tables
from shared.tables.usage_logs import Action
from shared.tables.users import Role
from tools.maintain.accounts import account
from tools.maintain.opened import maintenance_settings, opened_existing


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "make-admin",
        help="make a user an admin",
        description="Make the user with this address an admin, in force at once. Admins look at all users, change and "
        "delete them, and revoke their keys; they have no limits of their own.",
    )
    parser.add_argument("email", metavar="EMAIL")
    parser.set_defaults(command=run)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    async with opened_existing(maintenance_settings(environ), writes=True, clock=clock) as opened:
        tables = Tables.on(opened.store)
        user, at = await account(tables.users, options.email), opened.clock()
        before, after = await tables.users.change_from(
            user.id, lambda row: row.model_copy(update={"role": Role.ADMIN, "updated_at": at})
        )
        if before.role is after.role:
            print(f"{user.email} is an admin already")
            return 0
        recorder = UsageRecorder(tables.usage_logs, tables.active_owners, Ids())
        metadata = {"from": before.role, "to": after.role, "by": "operator"}
        await recorder.record(Action.ADMIN_CHANGED, user_id=user.id, at=at, metadata=metadata)
    print(f"{user.email} is an admin now")
    return 0
