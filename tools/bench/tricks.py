"""Measure the gain of each start-up trick of `shared/web/cold_start.py`: `python -m tools.bench.tricks --runs 15`.

A new process imports `handlers.memos` as in Lambda, on HYPR Micro, and answers one event, once with all tricks and once
without each. The processor time of the fastest run counts: other load can only add to it. Bytecode is used.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from shared.web.cold_start import TRICKS
from tests.events import http_event

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": "agent-talk-bench",
    "SPEECH": "simulated",
    "MAIL": "ses",
    "MAIL_FROM": "talk@example.org",
    "SESSION_SECRET": "0123456789abcdef0123456789abcdef",
    "HYPR_URL": "http://127.0.0.1:9",
    "HYPERMICRO_API_KEY": "unused",
}
PROBE: Final = """
import contextlib, importlib, io, json, sys, time
began = time.process_time()
function = importlib.import_module("handlers.memos").handler
imported = time.process_time()
with contextlib.redirect_stdout(io.StringIO()):
    function(json.loads(sys.argv[1]), None)
print(imported - began, time.process_time() - imported)
"""


def measure(without: str) -> tuple[float, float]:
    """Return the processor seconds of one import and of the first event after it, without the named trick."""
    event = json.dumps(http_event("GET", "/api/v1/voices"))
    env = ENVIRONMENT | {"COLD_START_WITHOUT": without, "PATH": os.environ.get("PATH", "")}
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, event], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    imported, first = map(float, ran.stdout.split())
    return imported, first


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.tricks", description="Measure start-up tricks.")
    parser.add_argument("--runs", type=int, default=9, help="processes per trick (default: %(default)s)")
    runs: int = parser.parse_args().runs
    cases = ("", *TRICKS)
    measured: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
    for _ in range(runs):  # in turn, so that a machine whose speed drifts slows all
        for case in cases:
            measured[case].append(measure(case))
    floor = tuple(min(part) for part in zip(*measured[""], strict=True))
    print(f"all tricks: import {1000 * floor[0]:.0f} ms, first event {1000 * floor[1]:.1f} ms of processor time")
    for trick in TRICKS:
        imported, first = (min(part) for part in zip(*measured[trick], strict=True))
        pays = imported + first > sum(floor)
        print(
            f"without {trick:<14} import x {imported / floor[0]:.2f}, first event x {first / floor[1]:.2f},"
            f" together x {(imported + first) / sum(floor):.2f}{'' if pays else '  pays no more'}"
        )


if __name__ == "__main__":
    main()
