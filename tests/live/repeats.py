"""Repeats with an Idempotency-Key, over HTTP through two processes, one of which is killed in the middle of them."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.live.people import MEMO, Front, Person, Reply, memos_of, sign_up, somebody
from tests.live.processes import Process, gateway, micro_server
from tests.support import seeded

ROUNDS: Final = 5
KILLS: Final = 3
PEOPLE: Final = 20
"""The number of people who each have a request in progress when a gateway is killed."""

STAGGER_S: Final = 0.4
"""Seconds over which their requests begin, so that the kill interrupts them at different points."""

TAKE_OVER_S: Final = 75.0
"""The most seconds until a request whose first run was killed is answered: a minute, and more on a busy machine."""

SAY: Final[Mapping[str, Any]] = MEMO | {"title": "A greeting"}


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server:
        await server.start()
        with gateway(server.url) as one, gateway(server.url) as two:
            await through(one, two, rounds=ROUNDS, kills=KILLS)


async def through(one: Process, two: Process, *, rounds: int, kills: int) -> None:
    """Start the gateways, which share a store, and repeat requests on them."""
    await asyncio.gather(one.start(), two.start())
    both, other = Front(one.url, two.url), Front(two.url)
    try:
        for number in range(rounds):
            print(f"  round {number + 1}: {await _round(both)}", flush=True)
        for number in range(kills):
            print(f"  kill {number + 1}: {await _killed(one, other, seeded(number))}", flush=True)
            await one.start()
    finally:
        await both.close()
        await other.close()


async def _say(front: Front, person: Person, name: str = "one", **fields: Any) -> Reply:
    return await front.send("POST", "/api/v1/memo", token=person.key, json={**SAY, **fields}, idempotency_key=name)


async def _round(front: Front) -> str:
    person = await _newcomer(front)
    replies = await asyncio.gather(*(_say(front, person) for _ in range(50)))
    statuses = Counter(reply.status for reply in replies)
    assert set(statuses) <= {201, 409}, statuses
    own = [reply for reply in replies if reply.status == 201 and not _is_replay(reply)]
    assert len(own) == 1, statuses
    await _check(front, person, [*replies, await _say(front, person)])
    await _later(front, person, _memo(own[0]))
    return f"50 repeats: 1 memo, {statuses[201] - 1} replays, {statuses[409]} x 409; later repeats as promised"


async def _later(front: Front, person: Person, first: Any) -> None:
    """Check repeats with another body, of a retitled and a deleted memo, and with a revoked key."""
    path = f"/api/v1/memo/{first['id']}"
    assert (await _say(front, person, text="Other")).status == 409
    assert (await _say(front, person, name="x" * 256)).status == 400
    assert (await front.send("PATCH", path, token=person.key, json={"title": "Other"})).status == 200
    for _ in range(2):
        again = await _say(front, person)
        assert (again.status, _memo(again), _is_replay(again)) == (201, first, True), again
        assert (await front.send("DELETE", path, token=person.key)).status in (200, 404)
    assert await memos_of(front, person) == {}
    assert (await front.send("DELETE", f"/api/keys/{person.key_id}", token=person.session)).status == 200
    assert (await _say(front, person)).status == 403


async def _killed(one: Process, other: Front, random: Random) -> str:
    """Kill a gateway while people's first requests are in progress there; the other one answers their repeats."""
    people = [await _newcomer(other) for _ in range(PEOPLE)]
    dying = Front(one.url)
    firsts = [asyncio.create_task(_say_later(dying, person, random.uniform(0, STAGGER_S))) for person in people]
    first_few = itertools.islice(asyncio.as_completed(firsts), random.randrange(1, PEOPLE // 2))
    for answered in first_few:  # all other requests are in progress then
        await answered
    one.kill()
    replies = await asyncio.gather(*firsts)
    await dying.close()
    began = time.monotonic()
    waits = await asyncio.gather(
        *(_until_answered(other, person, first) for person, first in zip(people, replies, strict=True))
    )
    done = sum(reply.status == 201 for reply in replies)
    took_s = time.monotonic() - began
    return f"{done} of {PEOPLE} were answered, {sum(waits)} were taken over; all one memo after {took_s:.0f} s"


async def _say_later(front: Front, person: Person, after_s: float) -> Reply:
    await asyncio.sleep(after_s)
    return await _say(front, person)


async def _until_answered(front: Front, person: Person, first: Reply) -> bool:
    """Repeat a request until it is answered. Returns whether that took a take-over."""
    ends_at, replies = time.monotonic() + TAKE_OVER_S, [first]
    while not any(reply.status == 201 for reply in replies[1:]):
        assert time.monotonic() < ends_at, replies[-1]
        if len(replies) > 1:
            await asyncio.sleep(int(replies[-1].headers["retry-after"]))
        replies.append(await _say(front, person))
        assert replies[-1].status in (201, 409), replies[-1]
    await _check(front, person, replies, died=first.status != 201)
    return any(reply.status == 409 for reply in replies)


async def _check(front: Front, person: Person, replies: Sequence[Reply], *, died: bool = False) -> None:
    """Check that all answers are one memo, which exists, and is charged once, at most twice if its first run died."""
    bodies = [_memo(reply) for reply in replies if reply.status == 201]
    assert bodies == [bodies[0]] * len(bodies), bodies
    assert await memos_of(front, person) == {bodies[0]["id"]: SAY["text"]}
    limits = await front.send("GET", "/api/v1/usage/limits", token=person.session)
    keys = await front.send("GET", "/api/keys", token=person.session)
    for used in (limits.body["daily"]["used"], limits.body["monthly"]["used"], keys.body["keys"][0]["usageCount"]):
        assert 1 <= used <= 1 + died, (used, limits.body)


async def _newcomer(front: Front) -> Person:
    person = somebody()
    reply = await sign_up(front, person)
    assert reply.status == 201, reply
    return person


def _memo(reply: Reply) -> Any:
    """Return the memo of an answer, without the gateway's address in the audio's URL."""
    file = reply.body["audio"]["url"].rpartition("/")[2]
    return reply.body | {"audio": reply.body["audio"] | {"url": file}}


def _is_replay(reply: Reply) -> bool:
    return bool(reply.headers.get("idempotency-replayed") == "true")
