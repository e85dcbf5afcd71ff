"""The floor of a cold start: FastAPI, Mangum and httpx, and one route. With FLOOR_ASKS it requests that URL first.

Its client makes no TLS context, as ours makes none for an http: URL. The functions are compared with it under the same
runtime client, on the same packages.
"""

import os

import httpx
from fastapi import FastAPI
from mangum import Mangum

ASKS = os.environ.get("FLOOR_ASKS")

app = FastAPI()
http = httpx.AsyncClient(verify=False) if ASKS else None  # noqa: S501 the URL is http:


@app.get("/")
async def get() -> dict[str, bool]:
    if http is not None and ASKS is not None:
        (await http.get(ASKS)).raise_for_status()
    return {"ok": True}


handler = Mangum(app, lifespan="off")
