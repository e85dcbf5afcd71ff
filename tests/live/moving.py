"""Move in on the server that has the predecessor's documents: kill the move, run it again, and use the result."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import httpx

from shared.accounts.passwords import Passwords
from shared.stores.port import Store
from shared.tables import Tables
from tests.live.people import Front
from tests.live.processes import MICRO_KEY, ROOT, Process, gateway, micro_environ, micro_server
from tests.tools.moving.predecessor import Person, content, documents, people, sqlite_file
from tools.maintain.opened import maintenance_settings, opened_store

KILLS_S: Final = (1.1, 1.3, 1.5, 1.7, 1.9, 2.1)
"""Seconds after which a move is killed; starting it takes one second."""

FAILURES: Final = 9
"""Failed logins of each kind."""


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server, tempfile.TemporaryDirectory() as folder:
        await server.start()
        names = await _write_documents(server.url)
        with gateway(server.url) as front:
            await through(front, environ=micro_environ(server.url), micro_url=server.url, folder=Path(folder))
        async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {MICRO_KEY}"}) as http:
            there = (await http.get(f"{server.url}/api/dbs")).json()["databases"]
        assert there == sorted({*names, "indexes"}), there
        print(f"  {len(there)} databases, of seven: {', '.join(there)}", flush=True)


async def through(gateway: Process, *, environ: Mapping[str, str], micro_url: str | None, folder: Path) -> None:
    """Move the data sets into the store of `environ`, then start the gateway, which serves them.

    `micro_url`: the server of the predecessor's documents; None: only its file is moved.
    """
    sets = {"agent-talk": f"sqlite:{sqlite_file(folder)}"} | ({"micro-docs": f"micro:{micro_url}"} if micro_url else {})
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened_store(maintenance_settings(environ), creates_table=True))
        for name, source in sets.items():
            kills = [await _moved(source, environ, folder, kill_after_s=after_s) for after_s in KILLS_S]
            began = time.monotonic()
            assert await _moved(source, environ, folder) == 0
            took_s, before = time.monotonic() - began, await content(store)
            assert await _moved(source, environ, folder) == 0
            assert await content(store) == before, "a second move changed something"
            rows = sum(part.count for part in before.values())
            print(
                f"  {name}: killed {kills.count(-9)} times, then {took_s:.1f} s; {rows} rows, twice as once", flush=True
            )
        await gateway.start()
        front = Front(gateway.url)
        stack.push_async_callback(front.close)
        for name in sets:
            for person in people(name):
                await _works(front, store, person)
            print(f"  {name}: every password and key as it should be", flush=True)
        await _tell_nothing(front, store)


async def _write_documents(url: str) -> list[str]:
    """Write the predecessor's databases, as its own code did. Returns their names."""
    names = [*documents(), "rate_limits"]
    async with httpx.AsyncClient(
        base_url=url, trust_env=False, headers={"Authorization": f"Bearer {MICRO_KEY}"}
    ) as http:
        for name in names:
            assert (await http.post(f"/api/dbs/{name}")).status_code == 201
            for document in documents().get(name, []):
                assert (await http.post(f"/api/dbs/{name}/docs", json=document)).status_code == 201
    return names


async def _moved(source: str, environ: Mapping[str, str], folder: Path, *, kill_after_s: float | None = None) -> int:
    """Run the command. Returns its exit status; -9: it was killed."""
    command = (sys.executable, "-m", "tools.moving", "--from", source, "--write", "--report", str(folder / "report"))
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={"PATH": "", **environ, "MOVING_HYPERMICRO_API_KEY": MICRO_KEY},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        return await asyncio.wait_for(child.wait(), kill_after_s)
    except TimeoutError:
        child.kill()
        return await child.wait()


async def _works(front: Front, store: Store, person: Person) -> None:
    email, _ = await _account(store, person)
    for keys, status in ((person.live, 200), (person.revoked, 403), (person.odd, 401)):
        for key in keys:
            reply = await front.send("GET", "/api/v1/memos", token=key)
            assert reply.status == status, (person, reply)
    logged_in = await _log_in(front, email, person.password)
    assert logged_in == (401 if person.odd else 200), (person, logged_in)
    _, password_hash = await _account(store, person)
    assert not password_hash.startswith("$2"), person


async def _tell_nothing(front: Front, store: Store) -> None:
    """Compare the medians of failed logins: of no account, of argon2's hash, and of bcrypt's with a cost of 12."""
    one, other = people("agent-talk")[:2]
    (known, _), (moved, _) = await _account(store, one), await _account(store, other)
    bcrypt_12 = "$2b$12$bxjPnxh4QklPr.vTMkfSm.Df2tziakVO0I5yXHoy8Qz2GT7ABmz2i"
    await _put_hash(store, other, bcrypt_12)
    times: dict[str, list[float]] = {"nobody@example.org": [], known: [], moved: []}
    await asyncio.gather(*(_time_failures(front, email, taken) for email, taken in times.items()))
    medians = {email: statistics.median(taken) for email, taken in times.items()}
    spread = max(medians.values()) / min(medians.values())
    checked = await _check_times(bcrypt_12)
    told = ", ".join(f"{1000 * median:.0f} ms" for median in medians.values())
    print(f"  failed logins (unknown, argon2, bcrypt-12): {told}; their checks alone: {checked}", flush=True)
    assert spread < 1.05, medians


async def _time_failures(front: Front, email: str, taken: list[float]) -> None:
    for _ in range(FAILURES):
        began = time.monotonic()
        assert await _log_in(front, email, "not the password") == 401
        taken.append(time.monotonic() - began)


async def _check_times(bcrypt_12: str) -> str:
    passwords, told = Passwords(), []
    for password_hash in (await passwords.hash("x"), bcrypt_12):
        await passwords.verify(password_hash, "y")
        began = time.monotonic()
        await passwords.verify(password_hash, "y")
        told.append(f"{1000 * (time.monotonic() - began):.0f} ms")
    return " and ".join(told)


async def _log_in(front: Front, email: str, password: str) -> int:
    reply = await front.send("POST", "/api/v1/auth/login", json={"email": email, "password": password})
    return reply.status


async def _put_hash(store: Store, person: Person, password_hash: str) -> None:
    tables = Tables.on(store)
    mapped = await tables.moved.user(person.old_id)
    assert mapped is not None
    await tables.users.change(mapped["user_id"], lambda row: row.model_copy(update={"password_hash": password_hash}))


async def _account(store: Store, person: Person) -> tuple[str, str]:
    """Return the address and the hash of an account that moved."""
    tables = Tables.on(store)
    mapped = await tables.moved.user(person.old_id)
    assert mapped is not None, person
    user = await tables.users.load(mapped["user_id"])
    return user.email, user.password_hash
