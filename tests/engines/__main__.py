"""Run the checks that moto cannot run on real engines: `python -m tests.engines [ENGINE ...]`."""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

from tests.engines.had import ENGINES, Engine, NotHad
from tests.live import closing, limits, moving, races, repeats
from tests.live.processes import ROOT, Process, gateway_in

SUITES: Final = ("tests/stores/dynamo/test_store.py", "tests/stores/dynamo/test_faults.py", "tests/handlers")


def main() -> int:
    names = [engine.name for engine in ENGINES]
    parser = argparse.ArgumentParser(
        prog="python -m tests.engines",
        description="Run the suite of stores, every fault, the handlers' suite, and their races between processes "
        "on engines that speak DynamoDB's protocol. They are fetched into .local/engines and started on free ports.",
        epilog="\n".join(f"{engine.name:15} {engine.about}" for engine in ENGINES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("engine", nargs="*", metavar="engine", help=f"any of {', '.join(names)} (default: all)")
    parser.add_argument("--races", action="store_true", help="the races between processes alone, not the suites")
    parser.add_argument("--serve", type=int, metavar="PORT", help="serve the one engine there until it is interrupted")
    options = parser.parse_args()
    if unknown := set(options.engine).difference(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    chosen = [engine for engine in ENGINES if not options.engine or engine.name in options.engine]
    if options.serve:
        if len(chosen) != 1:
            parser.error("--serve is for one engine")
        return _serve(chosen[0], options.serve)
    outcomes = {engine.name: _shown(engine, suites=not options.races) for engine in chosen}
    print("\n" + "\n".join(f"{'ok' if good else 'FAILED':7}{name}" for name, good in outcomes.items()), flush=True)
    return 0 if all(outcomes.values()) else 1


def _serve(engine: Engine, port: int) -> int:
    try:
        with engine.process(port) as process:
            asyncio.run(process.start())
            print(f"{engine.about} serves at {process.url}", flush=True)
            process.wait()
    except NotHad as exc:
        print(f"{engine.name} cannot be had: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _shown(engine: Engine, *, suites: bool) -> bool:
    print(f"{engine.name}: {engine.about}", flush=True)
    began = time.monotonic()
    try:
        asyncio.run(_show(engine, suites=suites))
    except NotHad as exc:
        print(f"{engine.name}: FAILED, it cannot be had: {exc}", flush=True)
        return False
    except Exception:  # noqa: BLE001 a failure must not end the other checks
        traceback.print_exc()
        print(f"{engine.name}: FAILED after {time.monotonic() - began:.0f} s", flush=True)
        return False
    print(f"{engine.name}: ok in {time.monotonic() - began:.0f} s", flush=True)
    return True


async def _show(engine: Engine, *, suites: bool) -> None:
    with engine.process() as process:
        await process.start()
        if suites:
            await _suites(process)
        environ = {
            "AGENT_TALK_STORE": "dynamodb",
            "AWS_ENDPOINT_URL": process.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "DYNAMODB_TABLE": f"agent-talk-{secrets.token_hex(4)}",  # the gateways create it
        }
        with gateway_in(environ) as one, gateway_in(environ) as two:
            await races.through(one, two, rounds=2)
        with gateway_in(environ) as one, gateway_in(environ) as two:
            await repeats.through(one, two, rounds=2, kills=1)
        os.environ.update(environ)  # boto3 reads it when this process opens the gateways' store
        with gateway_in(environ) as one, gateway_in(environ) as two:
            await limits.through(one, two, environ=environ, rounds=limits.ROUNDS)
        with gateway_in(environ) as one, gateway_in(environ) as two:
            await closing.through(one, two, environ=environ, rounds=closing.ROUNDS)
        with gateway_in(environ) as one, tempfile.TemporaryDirectory() as folder:
            await moving.through(one, environ=environ, micro_url=None, folder=Path(folder))


async def _suites(process: Process) -> None:
    suites = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-m", "", *SUITES, "--store", "dynamodb"),
        cwd=ROOT,
        env={**os.environ, "DYNAMODB_URL": process.url},
    )
    assert await suites.wait() == 0, "the suites failed"


if __name__ == "__main__":
    sys.exit(main())
