"""Races over HTTP through two processes: memos, sign-ups, keys, their rotation, limits and revocation."""

import asyncio
from collections import Counter
from itertools import chain
from pathlib import Path

from shared.core.request import REQUEST_S
from tests.live.people import MEMO, PASSWORD, Front, Person, Reply, memos_of, sign_up, somebody
from tests.live.processes import Process, gateway, micro_server

ROUNDS = 5


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server:
        await server.start()
        with gateway(server.url) as one, gateway(server.url) as two:
            await through(one, two, rounds=ROUNDS)


async def through(one: Process, two: Process, *, rounds: int) -> None:
    """Start the gateways, which share a store, and race on them."""
    await asyncio.gather(one.start(), two.start())
    front = Front(one.url, two.url)
    try:
        for number in range(rounds):
            print(f"  round {number + 1}: {await _round(front)}", flush=True)
    finally:
        await front.close()


async def _round(front: Front) -> str:
    races = (_memos, _sign_ups, _keys, _rotations, _key_limit, _revocation)
    return "; ".join([await race(front) for race in races])


async def _newcomer(front: Front) -> Person:
    person = somebody()
    reply = await sign_up(front, person)
    assert reply.status == 201, reply
    return person


async def _memos(front: Front) -> str:
    person = await _newcomer(front)
    calls = (front.send("POST", "/api/v1/memo", token=person.key, json=MEMO) for _ in range(200))
    replies = await asyncio.gather(*calls)
    statuses = _statuses(replies)
    assert statuses == {201: 100, 429: 100}, statuses
    assert len(await memos_of(front, person)) == 100
    return f"200 memos with 100 left {_told(statuses)} within {_longest_s(replies):.1f} s"


async def _sign_ups(front: Front) -> str:
    person = somebody()
    replies = await asyncio.gather(*(sign_up(front, person) for _ in range(50)))
    # A busy machine cannot hash 50 passwords within a request's time: further logins are answered 503, early or late.
    in_time = [
        reply
        for reply in replies
        if reply.status != 503 or not ("retry-after" in reply.headers or reply.took_s > REQUEST_S)
    ]
    statuses = _statuses(in_time)
    assert statuses == {201: 1, 409: len(in_time) - 1}, statuses
    account = {"email": person.email, "password": PASSWORD}
    login = await front.send("POST", "/api/v1/auth/login", json=account)
    assert (login.status, login.body["user"]["id"]) == (200, person.id)
    memo = await front.send("POST", "/api/v1/memo", token=person.key, json=MEMO)
    assert memo.status == 201, memo
    late = f", {50 - len(in_time)} out of time" if len(in_time) < 50 else ""
    return f"50 sign-ups{late} {_told(statuses)} within {_longest_s(replies):.1f} s"


async def _keys(front: Front) -> str:
    person = await _newcomer(front)
    calls = (front.send("POST", "/api/keys", token=person.session, json={}) for _ in range(20))
    replies = await asyncio.gather(*calls)
    statuses = _statuses(replies)
    assert statuses == {201: 1, 400: 19}, statuses
    keys = await front.send("GET", "/api/keys", token=person.session)
    assert sum(key["isActive"] for key in keys.body["keys"]) == 2
    return f"20 keys at limit 2 {_told(statuses)} within {_longest_s(replies):.1f} s"


async def _rotations(front: Front) -> str:
    person = await _newcomer(front)
    path = f"/api/keys/{person.key_id}/rotate"
    replies = await asyncio.gather(*(front.send("POST", path, token=person.session, json={}) for _ in range(20)))
    statuses = _statuses(replies)
    assert statuses == {201: 1, 409: 19}, statuses
    (made,) = (reply.body["key"] for reply in replies if reply.status == 201)
    keys = await front.send("GET", "/api/keys", token=person.session)
    assert [(key["id"], key["isActive"]) for key in keys.body["keys"]] == [(made["id"], True), (person.key_id, False)]
    uses = [await front.send("GET", "/api/v1/memos", token=key) for key in (made["key"], person.key)]
    assert [use.status for use in uses] == [200, 401]
    return f"20 rotations of a key {_told(statuses)} within {_longest_s(replies):.1f} s"


async def _key_limit(front: Front) -> str:
    person = await _newcomer(front)
    path, limits = f"/api/keys/{person.key_id}", {"memosPerDay": 10, "charactersPerMonth": 10_000}
    assert (await front.send("PATCH", path, token=person.session, json={"limits": limits})).status == 200
    replies = await asyncio.gather(
        *(front.send("POST", "/api/v1/memo", token=person.key, json=MEMO) for _ in range(40))
    )
    statuses = _statuses(replies)
    assert statuses == {201: 10, 429: 30}, statuses
    key = (await front.send("GET", path, token=person.session)).body["key"]
    counted = await front.send("GET", "/api/v1/usage/limits", token=person.session)
    assert (key["used"]["memosToday"], key["usageCount"], counted.body["daily"]["used"]) == (10, 10, 10)
    assert key["used"]["charactersThisMonth"] == 10 * len(MEMO["text"])
    return f"40 memos by a key with 10 a day {_told(statuses)}"


async def _revocation(front: Front) -> str:
    person = await _newcomer(front)
    used = asyncio.Event()

    async def use(times: int) -> list[Reply]:
        replies = list[Reply]()
        for _ in range(times):
            replies.append(await front.send("POST", "/api/v1/memo", token=person.key, json=MEMO))
            used.set()
        return replies

    async def revoke() -> Reply:
        await used.wait()
        return await front.send("DELETE", f"/api/keys/{person.key_id}", token=person.session)

    revoked, around = await asyncio.gather(revoke(), asyncio.gather(*(use(15) for _ in range(4))))
    assert revoked.status == 200, revoked
    replies = [*chain(*around), *await use(10)]
    statuses = _statuses(replies)
    assert set(statuses) == {201, 403}, statuses
    after = [reply.status for reply in replies if reply.began > revoked.ended]
    assert len(after) >= 10
    assert set(after) == {403}, after
    assert len(await memos_of(front, person)) == statuses[201]
    return f"70 uses around a revocation {_told(statuses)}, of {len(after)} sent after it none 201"


def _statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))


def _longest_s(replies: list[Reply]) -> float:
    return max(reply.took_s for reply in replies)
