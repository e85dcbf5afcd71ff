"""Measure cold starts under Lambda's own runtime client: `make bench-cold`, or `python -m tools.bench.cold --runs 15`.

Each function, a bare FastAPI, Mangum and httpx function as the floor, and a bare function of Powertools' resolver as a
peer, is started again for each run, in turn, so that a machine whose speed drifts slows all of them. The packages are
those of the bundle, for this machine: once without bytecode, where each start compiles all its imports, and once with
it. boto3, which Lambda contains, has bytecode in both. The fastest run of each function counts: other load can only
slow a run. Memory is the peak. On DynamoDB only the initialisation is measured: it sends no request.
"""

import argparse
import compileall
import json
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from tests.events import http_event
from tests.live.processes import stand_in
from tests.runtime.api import Answer, Runtime, RuntimeApi, lambdas_own_packages

ROOT: Final = Path(__file__).parents[2]
KEY: Final = "development"
FLOOR: Final = "floor"
PEER: Final = "Powertools' resolver"

MCP: Final = "/mcp"
LIST_MEMOS: Final = (
    '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_memos", "arguments": {}}}'
)

MEMORY: Final = {
    "users": "/api/v1/auth/me",
    "keys": "/api/keys",
    "memos": "/api/v1/voices",
    "mcp": MCP,
    "usage": "/api/v1/usage/limits",
    "subscriptions": "/api/v1/billing/tiers",
    "health": "/health",
}
"""First events on memory, which is empty then: a route that needs a caller answers 401."""

MICRO: Final = {
    "users": ("/api/v1/auth/me", "session"),
    "keys": ("/api/keys", "session"),
    "memos": ("/api/v1/memos", "key"),
    "mcp": (MCP, "key"),
    "usage": ("/api/v1/usage/limits", "key"),
    "subscriptions": ("/api/v1/billing/subscription", "session"),
    "health": ("/health", "key"),
}
"""First events on HYPR Micro, each with the kind of its credential."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """One cold start. `init_cpu_s` is the processor time of the initialisation, the interpreter's own included."""

    init_s: float
    init_cpu_s: float
    first_s: float
    memory_mb: float


@dataclass(frozen=True, kw_only=True)
class ColdTarget:
    handler: str
    event: Any
    env: Mapping[str, str]


class Bench:
    def __init__(self, place: Path) -> None:
        self._bundle = place / "bundle"
        self._own = lambdas_own_packages(place / "runtime")
        compileall.compile_dir(self._own, quiet=2)

    def build(self) -> None:
        """Copy our own modules and their requirements, without bytecode."""
        without = shutil.ignore_patterns("__pycache__", "*.pyc")
        for folder in ("handlers", "shared", "tools"):
            shutil.copytree(ROOT / folder, self._bundle / folder, ignore=without)
        for line in (ROOT / "requirements.txt").read_text().splitlines():
            if found := re.match(r"([A-Za-z0-9._-]+)==", line):
                self._copy(found[1], without)

    def compile(self) -> None:
        compileall.compile_dir(self._bundle, quiet=2)

    def account(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return a new account's session and key, by the users function, which also makes the tables."""
        account = json.dumps({"email": f"{time.monotonic_ns()}@example.org", "password": "correct horse"})
        with self._runtime("handlers.users.handler", env) as (api, runtime):
            runtime.ready()
            made = api.invoke(http_event("POST", "/api/v1/auth/signup", body=account)).body
        return {"session": made["token"], "key": made["apiKey"]["key"]}

    def start(self, target: ColdTarget) -> Start:
        with self._runtime(target.handler, target.env) as (api, runtime):
            started, cpu_s = runtime.ready(), runtime.cpu_s()
            took_s = 0.0 if target.event is None else _answered(api.invoke(target.event)).took_s
            return Start(init_s=started.init_s, init_cpu_s=cpu_s, first_s=took_s, memory_mb=runtime.memory_mb())

    def warm_s(self, handler: str, *, calls: int) -> Iterator[float]:
        """Yield the seconds of each of `calls` warm calls of a handler of `tools.bench.warm`."""
        with self._runtime(f"tools.bench.warm.{handler}", {}) as (api, runtime):
            runtime.ready()
            for number in range(calls + calls // 10):
                answer = _answered(api.invoke({}))
                if number >= calls // 10:
                    yield answer.took_s

    @contextmanager
    def _runtime(self, handler: str, env: Mapping[str, str]) -> Iterator[tuple[RuntimeApi, Runtime]]:
        """Run a process with its own API, so that the last request of an ended process cannot take this one's event."""
        with (
            RuntimeApi() as api,
            Runtime(api, bundle=self._bundle, handler=handler, env=env, own=self._own) as runtime,
        ):
            yield api, runtime

    def _copy(self, name: str, without: Any) -> None:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # a requirement of another platform
            return
        for top in sorted({file.parts[0] for file in files} - {"..", "__pycache__"}):
            source = Path(str(distribution(name).locate_file(top)))
            if source.is_dir():
                shutil.copytree(source, self._bundle / top, ignore=without, dirs_exist_ok=True)
            else:
                shutil.copy(source, self._bundle / top)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.cold", description="Measure cold starts.")
    parser.add_argument("--runs", type=int, default=7, help="starts of each function (default: %(default)s)")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as place, stand_in(KEY) as url:
        bench = Bench(Path(place))
        bench.build()
        for what in ("without bytecode", "with bytecode, as zipped"):
            stores = {"memory": _on_memory(), "HYPR Micro": _on_micro(bench, url), "DynamoDB": _on_dynamodb()}
            for store, targets in stores.items():
                _report(f"{store}, {what}", _starts(bench, targets, runs))
            bench.compile()
        _report_warm(bench)


def _on_memory() -> dict[str, ColdTarget]:
    env = {"AGENT_TALK_STORE": "memory", "SESSION_SECRET": "s" * 32, "SPEECH": "simulated"}
    env |= {"MAIL": "ses", "MAIL_FROM": "talk@example.org"}
    ours = {
        name: ColdTarget(handler=f"handlers.{name}.handler", event=_event(path), env=env)
        for name, path in MEMORY.items()
    }
    return _bare() | ours


def _bare() -> dict[str, ColdTarget]:
    event = http_event("GET", "/")
    return {
        FLOOR: ColdTarget(handler="tools.bench.bare.handler", event=event, env={}),
        PEER: ColdTarget(handler="tools.bench.bare_resolver.handler", event=event, env={}),
    }


def _on_dynamodb() -> dict[str, ColdTarget]:
    env = {"AGENT_TALK_STORE": "dynamodb", "TABLE_NAME": "agent-talk", "AWS_REGION": "eu-west-1"}
    env |= {"SESSION_SECRET": "s" * 32, "SPEECH": "simulated", "MAIL": "ses", "MAIL_FROM": "talk@example.org"}
    return _bare() | {name: ColdTarget(handler=f"handlers.{name}.handler", event=None, env=env) for name in MEMORY}


def _on_micro(bench: Bench, url: str) -> dict[str, ColdTarget]:
    env = {
        "AGENT_TALK_STORE": "micro",
        "HYPR_URL": url,
        "HYPERMICRO_API_KEY": KEY,
        "SESSION_SECRET": "s" * 32,
        "SPEECH": "simulated",
        "MAIL": "ses",
        "MAIL_FROM": "talk@example.org",
    }
    tokens = bench.account(env)
    floor = ColdTarget(
        handler="tools.bench.bare.handler", event=http_event("GET", "/"), env={"FLOOR_ASKS": f"{url}/health"}
    )
    return {FLOOR: floor} | {
        name: ColdTarget(
            handler=f"handlers.{name}.handler",
            event=_event(path, token=tokens[credential]),
            env=env,
        )
        for name, (path, credential) in MICRO.items()
    }


def _event(path: str, *, token: str | None = None) -> Any:
    """Return a function's first event: a GET, or a call of a tool."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    if path == MCP:
        return http_event("POST", path, headers=headers, body=LIST_MEMOS)
    return http_event("GET", path, headers=headers)


def _starts(bench: Bench, targets: Mapping[str, ColdTarget], runs: int) -> dict[str, Start]:
    """Return the fastest of each target's runs, all started in turn."""
    starts: dict[str, list[Start]] = {name: [] for name in targets}
    for _ in range(runs):
        for name, target in targets.items():
            starts[name].append(bench.start(target))
    return {
        name: Start(
            init_s=min(start.init_s for start in of_one),
            init_cpu_s=min(start.init_cpu_s for start in of_one),
            first_s=min(start.first_s for start in of_one),
            memory_mb=min(start.memory_mb for start in of_one),
        )
        for name, of_one in starts.items()
    }


def _report(title: str, starts: Mapping[str, Start]) -> None:
    floor = starts[FLOOR]
    print(f"\n{title}\n\n| function | initialisation | x floor | CPU | x floor | first event | x floor | memory |")
    print("|---|---|---|---|---|---|---|---|")
    for name, start in starts.items():
        first = f"{start.first_s * 1000:.1f} ms | {start.first_s / floor.first_s:.2f}" if start.first_s else "| "
        print(
            f"| {name} | {start.init_s * 1000:.0f} ms | {start.init_s / floor.init_s:.2f}"
            f" | {start.init_cpu_s * 1000:.0f} ms | {start.init_cpu_s / floor.init_cpu_s:.2f}"
            f" | {first} | {start.memory_mb:.0f} MB |",
            flush=True,
        )


def _report_warm(bench: Bench) -> None:
    ours = statistics.median(bench.warm_s("ours", calls=400))
    print(f"\nWarm page of 20 memos: {ours * 1000:.2f} ms\n\n| a bare route, the same page | | ours x |\n|---|---|---|")
    for name, what in (("plain", "a dict"), ("model", "a dict, by our model"), ("annotated", "an annotated dict")):
        floor = statistics.median(bench.warm_s(name, calls=400))
        print(f"| {what} | {floor * 1000:.2f} ms | {ours / floor:.2f} |", flush=True)


def _answered(answer: Answer) -> Answer:
    """Return the answer. Raises ValueError if it is an error of a function that does not work."""
    if answer.error is not None or answer.status not in (200, 401):
        raise ValueError(f"not what was measured: {answer.error or answer.value}")
    return answer


if __name__ == "__main__":
    main()
