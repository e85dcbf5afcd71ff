"""Measure one gateway on a real HYPR Micro server under load: `make bench-load`.

Clients run in a closed loop: each makes a memo, and the next one after its answer. Ours alternates with two gateways of
bare FastAPI: a floor of one request, and the predecessor's way of listing and filtering. CPU is each process's own, so
another program on the machine slows the times and not the CPU.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from shared.micro_connections import MicroConnections
from shared.micro_errors import MicroError
from shared.stores.micro.store import MicroStore
from tests.live.crowd import Owner, fill
from tests.live.people import MEMO
from tests.live.processes import (
    ROOT,
    Process,
    add_checkout,
    checkout,
    free_port,
    gateway,
    micro_environ,
    micro_server,
)
from tests.live.wire import bulk_client
from tools.bench.gateways import READY

USERS: Final = 100
MEMOS: Final = 20
CLIENTS: Final = (1, 8, 32, 128)
LOAD_S: Final = 8.0
"""Seconds of load at each number of clients; requests in progress are finished."""

WARM_UP: Final = 10
WITHIN_S: Final = 120.0
BODY: Final = json.dumps(MEMO).encode()
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(kw_only=True)
class Run:
    """The results of one load. Times are seconds, CPU is that of the gateway and of the server."""

    took: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lasted_s: float = 0.0
    gateway_s: float = 0.0
    server_s: float = 0.0

    def row(self) -> str:
        made = self.statuses["201"]
        others = ", ".join(
            f"{number} x {status}" for status, number in sorted(self.statuses.items()) if status != "201"
        )
        ordered = sorted(self.took)
        p50, p99 = (1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
        cpu = [f"{1000 * spent / max(1, made):.1f} ms" for spent in (self.gateway_s, self.server_s)]
        busy = f"{100 * self.gateway_s / self.lasted_s:.0f} % / {100 * self.server_s / self.lasted_s:.0f} %"
        rate = f"{made / self.lasted_s:.0f}"
        return " | ".join((rate, f"{p50:.0f} ms", f"{p99:.0f} ms", cpu[0], cpu[1], busy, others or "none"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.load", description="Measure one gateway under load.")
    add_checkout(parser)
    parser.add_argument("--seconds", type=float, default=LOAD_S, help="of each load (default: %(default)s)")
    parser.add_argument("--before", type=Path, help="another checkout of this project, which is measured as well")
    options = parser.parse_args()
    asyncio.run(_measure(checkout(parser, options), options.seconds, options.before))


async def _measure(server_dir: Path, seconds: float, before: Path | None) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(micro_server(server_dir))
        await server.start()
        async with bulk_client(server.url) as filling:
            owners = await fill(MicroStore(filling, timeout_s=600), users=USERS, keys=1, memos=MEMOS, told=_untold)
        ours = stack.enter_context(gateway(server.url))
        gateways = {"ours": ours, "floor": _bare("floor", server.url), "list and filter": _bare("listing", server.url)}
        if before is not None:
            gateways["before"] = _gateway_of(before, ours, server.url)
        for process in gateways.values():
            stack.callback(process.kill)
            await process.start()
        load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
        print(f"{USERS:,} owners, {USERS * MEMOS:,} memos at first; {os.cpu_count()} cores, load {load}\n")
        print("| clients | gateway | memos/s | p50 | p99 | gateway's CPU | server's CPU | busy | other answers |")
        print("|---|---|---|---|---|---|---|---|---|")
        for clients in CLIENTS:
            for name, process in gateways.items():
                run = await _run(process, server, owners, clients, seconds)
                print(f"| {clients} | {name} | {run.row()} |", flush=True)


def _bare(kind: str, server_url: str) -> Process:
    port = free_port()
    command = [sys.executable, "-m", "tools.bench.gateways", kind, "--port", str(port)]
    return Process(command, cwd=ROOT, env=micro_environ(server_url), port=port, ready=READY)


def _gateway_of(root: Path, like: Process, server_url: str) -> Process:
    """Return the gateway of another checkout, with the same settings."""
    port = free_port()
    command = [sys.executable, "-m", "tools.local", "run", "--port", str(port)]
    return Process(command, cwd=root, env=like.env | micro_environ(server_url), port=port, ready="/api/v1/voices")


async def _run(process: Process, server: Process, owners: list[Owner], clients: int, seconds: float) -> Run:
    run, turns = Run(), count()
    async with _wire(process.url, clients) as wire:
        for _ in range(WARM_UP):
            await _make(wire, owners[next(turns) % len(owners)], Run())
        began, spent = time.monotonic(), (cpu_s(process.pid), cpu_s(server.pid))

        async def client() -> None:
            while time.monotonic() < began + seconds:
                await _make(wire, owners[next(turns) % len(owners)], run)

        await asyncio.gather(*(client() for _ in range(clients)))
        run.lasted_s = time.monotonic() - began
        run.gateway_s, run.server_s = cpu_s(process.pid) - spent[0], cpu_s(server.pid) - spent[1]
    return run


@asynccontextmanager
async def _wire(url: str, clients: int) -> AsyncIterator[MicroConnections]:
    async with MicroConnections(url, at_once=clients) as wire:
        yield wire


async def _make(wire: MicroConnections, owner: Owner, run: Run) -> None:
    headers = [(b"authorization", f"Bearer {owner.secrets[0]}".encode()), (b"content-type", b"application/json")]
    began = time.monotonic()
    try:
        answer = await wire.send("POST", "/api/v1/memo", headers=headers, content=BODY, within_s=WITHIN_S)
        run.statuses[str(answer.status)] += 1
    except MicroError as error:
        run.statuses[type(error).__name__] += 1
    run.took.append(time.monotonic() - began)


def cpu_s(pid: int) -> float:
    """Return a process's seconds of CPU, user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def _untold(_: str) -> None:
    """Discard the record of a request: filling is not measured."""


if __name__ == "__main__":
    main()
