"""Gateways to measure ours against, bare FastAPI on the service's own connections: `python -m tools.bench.gateways`.

`floor` sends the server one request for a memo; `listing` works as the predecessor did: it lists whole tables and
filters them, one request after the other.
"""

import argparse
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI, Request

from shared.micro import MicroClient
from shared.micro_address import Direct
from shared.micro_connections import MicroConnections
from tools.bench.listing import Listing

READY: Final = "/ready"

Make = Callable[[str], Awaitable[object]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.gateways", description="A gateway to measure against.")
    parser.add_argument("kind", choices=["floor", "listing"])
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    url, key = os.environ["HYPR_URL"], os.environ["HYPERMICRO_API_KEY"]
    uvicorn.run(_app(options.kind, url, key), host="127.0.0.1", port=options.port, log_level="critical", lifespan="on")


def _app(kind: str, url: str, key: str) -> FastAPI:
    made: list[Make] = []

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        async with MicroConnections(url) as wire:
            if kind == "listing":
                listing = Listing(wire=wire, key=key)
                await listing.begin()
                made.append(listing.make_memo)
            else:
                client = MicroClient(wire, Direct(url=url, api_key=key), timeout_s=60)
                made.append(lambda _: client.increment("floor"))
            yield

    app = FastAPI(lifespan=opened)

    @app.get(READY)
    async def is_ready() -> bool:
        return bool(made)

    @app.post("/api/v1/memo", status_code=201)
    async def make_memo(request: Request) -> dict[str, bool]:
        await request.json()
        await made[0](request.headers["authorization"].removeprefix("Bearer "))
        return {"ok": True}

    return app


if __name__ == "__main__":
    main()
