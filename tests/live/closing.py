"""Close accounts while they are in use, over HTTP through two gateways, and check that none of their rows is left."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from shared.core.clock import utc_now
from shared.jobs.worked import always, silent
from shared.services import Services
from shared.stores.port import Store
from shared.tables import TABLES
from tests.live.limits import newcomer
from tests.live.people import MEMO, PASSWORD, Front, Person
from tests.live.processes import Process, gateway, micro_environ, micro_server
from tools.maintain.opened import maintenance_settings, opened_store

ROUNDS: Final = 5
ME: Final = "/api/v1/auth/me"


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server:
        await server.start()
        with gateway(server.url) as one, gateway(server.url) as two:
            await through(one, two, environ=micro_environ(server.url), rounds=ROUNDS)


async def through(one: Process, two: Process, *, environ: Mapping[str, str], rounds: int) -> None:
    """Start the gateways, which share a store. `environ` opens the same store in this process."""
    await asyncio.gather(one.start(), two.start())
    async with AsyncExitStack() as stack:
        settings = maintenance_settings(environ)
        store = await stack.enter_async_context(opened_store(settings))
        front = Front(one.url, two.url)
        stack.push_async_callback(front.close)
        people = []
        for number in range(rounds):
            people.append(await newcomer(front))
            print(f"  round {number + 1}: {await _closed(front, people[-1])}", flush=True)
        await _two_days_on(store)
        left = [trace async for trace in _traces(store) for person in people if person.id in trace]
        assert left == [], left
        for person in people:
            again = await front.send("POST", "/api/v1/auth/signup", json={"email": person.email, "password": PASSWORD})
            assert again.status == 201, again
        print(f"  {rounds} accounts: nothing is left in any table or counter, and their addresses are free", flush=True)


async def _closed(front: Front, person: Person) -> str:
    """Close an account during its own memos, keys, rotations and repeats, and check that no credential of it works."""
    close = front.send("DELETE", ME, token=person.session, json={"password": PASSWORD})
    memos = (front.send("POST", "/api/v1/memo", token=person.key, json=MEMO) for _ in range(20))
    keyed = (front.send("POST", "/api/v1/memo", token=person.key, json=MEMO, idempotency_key="one") for _ in range(5))
    keys = (front.send("POST", "/api/keys", token=person.session, json={}) for _ in range(5))
    rotations = (front.send("POST", f"/api/keys/{person.key_id}/rotate", token=person.session) for _ in range(5))
    closed, *others = await asyncio.gather(close, *memos, *keyed, *keys, *rotations)
    assert closed.status == 200, closed
    statuses = Counter(reply.status for reply in others)
    assert set(statuses) <= {200, 201, 400, 401, 403, 404, 409, 503}, statuses
    for made in (reply.body["key"]["key"] for reply in others if reply.status == 201 and "key" in reply.body):
        assert (await front.send("GET", "/api/v1/memos", token=made)).status in {401, 403}, "a key outlived its account"
    for token in (person.key, person.session):
        after = await front.send("GET", "/api/v1/memos", token=token)
        assert after.status in {401, 403}, after
    return f"closed amid {len(others)} requests: {dict(sorted(statuses.items()))}"


async def _two_days_on(store: Store) -> None:
    """Process the list of closed accounts a day from now, and again a day later."""
    settings = maintenance_settings({"AGENT_TALK_STORE": "memory"})
    for days in (1, 2, 3):
        services = Services.on(store, settings, clock=partial(_later, timedelta(days=days, minutes=1)))
        worked = await services.closing.work(always, silent)
        assert (worked.is_done, worked.failed) == (True, 0), worked


def _later(by: timedelta) -> datetime:
    return utc_now() + by


async def _traces(store: Store) -> AsyncIterator[str]:
    """Yield each row and counter as a text."""
    for table in TABLES:
        after = None
        while True:
            page = await store.scan(table, after=after)
            for row in page.rows:
                yield f"{table.name} {row.key.partition} {row.key.sort} {json.dumps(row.document)}"
            after = page.after
            if after is None:
                break
    after = None
    while True:
        counters = await store.scan_counters(after=after)
        for counter in counters.rows:
            yield counter.name
        after = counters.after
        if after is None:
            return
