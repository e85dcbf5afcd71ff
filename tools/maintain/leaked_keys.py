"""Check and revoke leaked API keys, and print their owners.

The keys are read from a file or standard input, one a line: arguments stay in the shell's history, and other users of
the machine can read them.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from shared.activity import UsageRecorder
from shared.api_keys.minting import find
from shared.api_keys.revocation import revoke
from shared.core.clock import Clock, iso
from shared.core.errors import NotFound
from shared.core.ids import Ids
from shared.stores.port import Store
from shared.tables import Tables
from shared.tables.issued_keys import IssuedKey
from tools.maintain.opened import maintenance_settings, opened_existing

_INPUT = "Keys are read from a file or standard input, one a line. Exits with 1 if one is no key of this service."


def add_to(commands: Any) -> None:
    """Add the commands to argparse's subparsers."""
    verify = commands.add_parser(
        "verify-keys",
        help="say whose keys these are, and whether they are good",
        description=f"Say whose keys these are, and whether they are good. Changes nothing. {_INPUT}",
    )
    verify.add_argument("file", type=Path, nargs="?", help="(default: standard input)")
    verify.set_defaults(command=run, revokes=False)
    revokes = commands.add_parser(
        "revoke-keys",
        help="revoke keys by themselves",
        description=f"Revoke keys, for good and in force at once, and say whose they are. Repeatable. {_INPUT}",
    )
    revokes.add_argument("file", type=Path, nargs="?", help="(default: standard input)")
    revokes.set_defaults(command=run, revokes=True)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    given = sys.stdin.read() if options.file is None else options.file.read_text()
    secrets, unknown, console = given.split(), 0, Console(soft_wrap=True, highlight=False)
    async with opened_existing(maintenance_settings(environ), writes=options.revokes, clock=clock) as opened:
        for number, secret in enumerate(secrets, 1):
            key = await find(Tables.on(opened.store).api_keys, secret)
            if key is None:
                unknown += 1
                console.print(f"line {number}: no key of this service")
                continue
            if options.revokes:
                key = await revoke_found(opened.store, key, opened.clock())
            owner = await Tables.on(opened.store).users.get(key.user_id)
            who = owner.email if owner else "an owner who is gone"
            console.print(f"line {number}: key {key.id} of {who} ({key.user_id}), {_state(key, opened.clock())}")
    return 1 if unknown else 0


async def revoke_found(store: Store, key: IssuedKey, at: datetime) -> IssuedKey:
    """Revoke a key as its owner would, with a log. A key that its owner's ring has dropped stays as it is."""
    tables = Tables.on(store)
    recorder = UsageRecorder(tables.usage_logs, tables.active_owners, Ids())
    try:
        return await revoke(tables.api_keys, recorder, key.user_id, key.id, at)
    except NotFound:  # a full ring drops only keys that are revoked or expired: the keys after this one must be revoked
        return key


def _state(key: IssuedKey, at: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked at {iso(key.revoked_at)}"
    if not key.is_active(at):
        return "expired"
    return "good" if key.expires_at is None else f"good until {iso(key.expires_at)}"
