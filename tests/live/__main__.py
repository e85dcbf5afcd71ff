"""Run the checks that need the real HYPR Micro server: `python -m tests.live [--server-dir DIR] [what ...]`."""

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.live import clocks, closing, contract, histories, idle, kills, limits, moving, races, repeats, scale, speech
from tests.live.processes import add_checkout, checkout

WHAT: Final[dict[str, tuple[str, Callable[[Path], Awaitable[None]]]]] = {
    "contract": ("the contract suite of stores", contract.run),
    "races": ("races of memos, sign-ups, keys, rotations and limits of keys, through two gateways", races.run),
    "repeats": ("repeats with an Idempotency-Key through two gateways, one of which is killed", repeats.run),
    "closing": ("accounts that are closed amid requests through two gateways, and erased", closing.run),
    "moving": ("the predecessor's data on the same server, killed while it moves, and then used", moving.run),
    "clocks": ("gateways whose clocks are 90 s and a day apart, ahead and behind; needs libfaketime", clocks.run),
    "limits": ("ten rounds of races at a limit, beside invalid requests, through two gateways", limits.run),
    "histories": (
        "histories of eight clients, with kills and slow networks, checked for linearizability",
        histories.run,
    ),
    "kills": ("kill -9 of the server 20 times, and of a gateway 5 times, under load", kills.run),
    "speech": ("kill -9 of a gateway while it says long texts, 5 times: each piece is bought once", speech.run),
    "idle": ("50 calls, each after 1 to 10 s frozen", idle.run),
    "scale": ("100,000 keys and memos beside 10, in requests and time", scale.run),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.live",
        description="Show promises on the real HYPR Micro server, started from a checkout with its packages installed.",
        epilog="\n".join(f"{name:9} {about}" for name, (about, _) in WHAT.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", metavar="what", help=f"any of {', '.join(WHAT)} (default: all)")
    add_checkout(parser)
    options = parser.parse_args()
    if unknown := set(options.what).difference(WHAT):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    server_dir = checkout(parser, options)
    outcomes = {name: _shown(name, server_dir) for name in options.what or WHAT}
    print("\n" + "\n".join(f"{'ok' if good else 'FAILED':7}{name}" for name, good in outcomes.items()), flush=True)
    return 0 if all(outcomes.values()) else 1


def _shown(name: str, server_dir: Path) -> bool:
    about, run = WHAT[name]
    print(f"{name}: {about}", flush=True)
    began = time.monotonic()
    try:
        asyncio.run(_awaited(run(server_dir)))
    except Exception:  # noqa: BLE001 a failure must not end the other checks
        traceback.print_exc()
        print(f"{name}: FAILED after {time.monotonic() - began:.0f} s", flush=True)
        return False
    print(f"{name}: ok in {time.monotonic() - began:.0f} s", flush=True)
    return True


async def _awaited(work: Awaitable[None]) -> None:
    await work


if __name__ == "__main__":
    sys.exit(main())
