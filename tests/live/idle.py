"""Freeze a container for 1 to 10 s before each call: five gateways side by side, ten calls each."""

import asyncio
import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.live.people import MEMO, Front, sign_up, somebody
from tests.live.processes import Process, gateway, micro_server

GATEWAYS = 5
CALLS = 10


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server, ExitStack() as stack:
        await server.start()
        gateways = [stack.enter_context(gateway(server.url)) for _ in range(GATEWAYS)]
        await asyncio.gather(*(each.start() for each in gateways))
        rng = random.Random(7)  # noqa: S311 pauses need no secrecy
        pauses = [1 + 9 * number / (GATEWAYS * CALLS - 1) for number in range(GATEWAYS * CALLS)]
        rng.shuffle(pauses)
        runs = (_calls(each, pauses[number::GATEWAYS]) for number, each in enumerate(gateways))
        statuses = Counter(status for served in await asyncio.gather(*runs) for status in served)
    print(f"  {GATEWAYS * CALLS} calls after {sum(pauses):.0f} s frozen in all: {dict(statuses)}", flush=True)
    assert set(statuses) <= {200, 201}, statuses
    assert statuses.total() == GATEWAYS * CALLS


async def _calls(process: Process, pauses: list[float]) -> list[int]:
    front, person, statuses = Front(process.url), somebody(), list[int]()
    await sign_up(front, person)
    calls = (("POST", "/api/v1/memo", person.key), ("GET", "/api/v1/memos", person.key), ("GET", "/api/keys", ""))
    for number, pause_s in enumerate(pauses):
        process.freeze()
        await asyncio.sleep(pause_s)
        process.thaw()
        method, path, token = calls[number % len(calls)]
        body = MEMO if method == "POST" else None
        statuses.append((await front.send(method, path, token=token or person.session, json=body)).status)
    await front.close()
    return statuses
