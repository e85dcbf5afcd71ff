"""Gateways whose clocks differ, on one real server: names, titles, revocations and figures agree. Needs libfaketime."""

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tests.live.limits import newcomer
from tests.live.people import MEMO, Front, Person, sign_up, somebody
from tests.live.processes import Process, gateway_in, micro_environ, micro_server

ROUNDS: Final = 5
AHEAD: Final = {"90 s ahead": "+90", "a day ahead": "+86400", "90 s behind": "-90", "a day behind": "-86400"}


async def run(checkout: Path) -> None:
    faked = _faked_clock()
    with micro_server(checkout) as server:
        await server.start()
        environ = micro_environ(server.url)
        for about, offset in AHEAD.items():
            with ExitStack() as stack:
                right = stack.enter_context(gateway_in(environ))
                off = stack.enter_context(gateway_in({**environ, **faked, "FAKETIME": offset}))
                await _through(right, off)
            print(f"  {about}: {ROUNDS} rounds of names, titles, revocations and figures agree", flush=True)


def _faked_clock() -> Mapping[str, str]:
    """Return the variables that change a process's time of day, not its monotonic clock, which its timeouts use."""
    faketime = shutil.which("faketime")
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")) if faketime else []
    if not found:
        raise RuntimeError("needs libfaketime: install the system's package faketime")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


async def _through(right: Process, off: Process) -> None:
    await asyncio.gather(right.start(), off.start())
    fronts = Front(right.url), Front(off.url)
    try:
        for _ in range(ROUNDS):
            await _one_name(*fronts)
            await _one_title(*fronts)
            await _revoked_is_revoked(*fronts)
            await _figures_grow(*fronts)
            await _born_by_the_other_clock(*fronts)
    finally:
        for front in fronts:
            await front.close()


async def _one_name(right: Front, off: Front) -> None:
    """Row 12: rename a key by one clock, and then by the other."""
    person = await newcomer(right)
    for front, name in ((off, "first"), (right, "second"), (off, "third")):
        path = f"/api/keys/{person.key_id}"
        assert (await front.send("PATCH", path, token=person.session, json={"name": name})).status == 200
        memo = await _made(front, person)
        for reader in (right, off):
            keys = await _body(reader, "/api/keys", person)
            logs = await _body(reader, "/api/v1/usage", person)
            logged = [log["apiKeyName"] for log in logs["logs"] if log["id"] == memo]
            assert ([key["name"] for key in keys["keys"]], logged) == ([name], [name]), (keys, logs)


async def _one_title(right: Front, off: Front) -> None:
    person = await newcomer(off)
    memo = await _made(off, person)
    for front, title in ((off, "first"), (right, "second"), (off, "third"), (right, "fourth")):
        path = f"/api/v1/memo/{memo}"
        assert (await front.send("PATCH", path, token=person.session, json={"title": title})).status == 200
        for reader in (right, off):
            assert (await _body(reader, path, person))["title"] == title


async def _revoked_is_revoked(right: Front, off: Front) -> None:
    for revoking, using in ((right, off), (off, right)):
        person = await newcomer(using)
        assert (await revoking.send("DELETE", f"/api/keys/{person.key_id}", token=person.session)).status == 200
        for reader in (right, off):
            assert (await reader.send("GET", "/api/v1/memos", token=person.key)).status == 403
            assert [key["isActive"] for key in (await _body(reader, "/api/keys", person))["keys"]] == [False]


async def _figures_grow(right: Front, off: Front) -> None:
    """Row 15: request figures by the other clock between memos, which must close no day."""
    person = await newcomer(right)
    for _ in range(3):
        await _made(right, person)
    await _body(off, "/api/v1/analytics/summary", person)
    for _ in range(4):
        await _made(right, person)
    await _counted(right, off, person, 7)
    await _made(off, person)
    await _counted(right, off, person, 8)


async def _born_by_the_other_clock(right: Front, off: Front) -> None:
    """Row 16: make an account by one clock, and its memos by the other."""
    for born, used in ((off, right), (right, off)):
        person = somebody()
        assert (await sign_up(born, person)).status == 201
        for _ in range(5):
            await _made(used, person)
        await _counted(right, off, person, 5)


async def _counted(right: Front, off: Front, person: Person, made: int) -> None:
    for front in (right, off):
        summary = await _body(front, "/api/v1/analytics/summary", person)
        limits = await _body(front, "/api/v1/usage/limits", person)
        memos = await _body(front, "/api/v1/memos?limit=100", person)
        seen = {
            "total": summary["data"]["totalCalls"],
            "this month": limits["monthly"]["used"],
            "today": limits["daily"]["used"],
            "listed": len(memos["memos"]),
        }
        assert set(seen.values()) == {made}, (made, front is right, seen)


async def _made(front: Front, person: Person) -> str:
    reply = await front.send("POST", "/api/v1/memo", token=person.key, json=MEMO)
    assert reply.status == 201, reply
    memo: str = reply.body["id"]
    return memo


async def _body(front: Front, path: str, person: Person) -> Any:
    reply = await front.send("GET", path, token=person.session)
    assert reply.status == 200, reply
    return reply.body
