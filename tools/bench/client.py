"""Measure the client of HYPR Micro against others and a floor: `python -m tools.bench.client`.

Each client sends the same request to a stand-in in another process, and reads its JSON. The floor is asyncio's streams,
which parse only a length. Times are medians of this process's CPU, in alternation.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from shared.http_connections import http_client
from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_connections import MicroConnections
from tests.live.processes import MICRO_KEY, stand_in

RUNS: Final = 300
WARM_UP: Final = 30
TARGET: Final = "/api/cache/bench"
KEY_HEADER: Final = f"Bearer {MICRO_KEY}"

Ask = Callable[[], Awaitable[Any]]


def main() -> None:
    with stand_in(MICRO_KEY) as url:
        asyncio.run(_measure(url))


async def _measure(url: str) -> None:
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    request = f"GET {TARGET} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: {KEY_HEADER}\r\n\r\n".encode()

    async def by_streams() -> Any:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        return json.loads(await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0])))

    async with MicroConnections(url) as wire, http_client(url) as kept, httpx.AsyncClient() as plain:
        client = MicroClient(wire, Direct(url=url, api_key=MICRO_KEY))

        async def by_wire() -> Any:
            headers = [(b"authorization", KEY_HEADER.encode())]
            return json.loads((await wire.send("GET", TARGET, headers=headers, content=None, within_s=5.0)).content)

        def by(http: httpx.AsyncClient) -> Ask:
            async def ask() -> Any:
                return (await http.get(url + TARGET, headers={"Authorization": KEY_HEADER})).json()

            return ask

        asks: dict[str, Ask] = {
            "streams, the floor": by_streams,
            "MicroConnections": by_wire,
            "MicroClient over it": lambda: client.get_counter("bench"),
            "httpx": by(plain),
            "httpx with our pool": by(kept),
        }
        print("| client | CPU of a request | x floor |\n|---|---|---|")
        times: dict[str, list[float]] = {name: [] for name in asks}
        for run in range(WARM_UP + RUNS):
            for name, ask in asks.items():
                began = time.process_time()
                await ask()
                if run >= WARM_UP:
                    times[name].append(time.process_time() - began)
        floor_s = statistics.median(times["streams, the floor"])
        for name, taken in times.items():
            print(f"| {name} | {1000 * statistics.median(taken):.2f} ms | {statistics.median(taken) / floor_s:.1f} |")
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    main()
