"""Maintenance of a deployment, from a checkout; settings come from the environment, as for the functions.

python -m tools.maintain rebuild-usage [--email me@example.org] [--from 2026-01-01] [--to 2026-01-31] [--check]
python -m tools.maintain reconcile-memos [--from 2026-01-30] [--to 2026-01-31] [--check]
python -m tools.maintain sweep [--check]
python -m tools.maintain housekeeping
python -m tools.maintain make-admin me@example.org
python -m tools.maintain recount-users
python -m tools.maintain sync-stripe [--check]
python -m tools.maintain sweep-audio [--check]
python -m tools.maintain copy --from micro --to dynamodb
python -m tools.maintain verify-keys < found.txt
python -m tools.maintain revoke-keys < found.txt
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping

from shared.audio.files import AudioPlaceFailed
from shared.billing.opening import OpenStripe
from shared.core.clock import Clock, utc_now
from shared.core.settings import Settings, SettingsError
from shared.stores.port import StoreError
from tools.maintain import (
    copy,
    housekeeping,
    leaked_keys,
    make_admin,
    rebuild_usage,
    reconcile_memos,
    recount_users,
    sweep,
    sweep_audio,
    sync_stripe,
)
from tools.maintain.opened import Impossible


def main(
    arguments: list[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    clock: Clock = utc_now,
    stripe: Callable[[Settings], OpenStripe] | None = None,
) -> int:
    """Run one command, and return its exit status. `stripe` None: the settings choose Stripe's client."""
    parser = argparse.ArgumentParser(prog="python -m tools.maintain", description="Maintenance of a deployment.")
    commands = parser.add_subparsers(required=True)
    rebuild_usage.add_to(commands)
    reconcile_memos.add_to(commands)
    sweep.add_to(commands)
    housekeeping.add_to(commands)
    sync_stripe.add_to(commands, stripe=stripe)
    sweep_audio.add_to(commands)
    copy.add_to(commands)
    leaked_keys.add_to(commands)
    make_admin.add_to(commands)
    recount_users.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = asyncio.run(options.command(options, environ, clock))
    except SettingsError as exc:
        print(*exc.problems, sep="\n", file=sys.stderr)
        return 2
    except Impossible as exc:
        print(exc, file=sys.stderr)
        return 2
    except (StoreError, AudioPlaceFailed) as exc:
        print(f"{'the store failed: ' if isinstance(exc, StoreError) else ''}{exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what is done stays done; the same command does the rest", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
