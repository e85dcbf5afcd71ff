"""Races at an owner's limit, over HTTP through two processes, mixed with requests refused for other reasons."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from shared.core.clock import utc_now
from shared.plans import PLANS, Tier
from shared.stores.port import Store
from tests.live.people import MEMO, Front, Person, Reply, memos_of, sign_up, somebody
from tests.live.processes import Process, gateway_in, micro_environ, micro_server
from tests.support import seeded
from tools.maintain.opened import maintenance_settings, opened_store

ROUNDS: Final = 10
IN_FLIGHT: Final = 64
"""Concurrent requests. More would only wait in the gateways, and on a busy machine time out there."""

MIDNIGHT: Final = timedelta(minutes=2)
"""No round begins this shortly before midnight UTC: it would count against the limits of two days."""

PER_DAY: Final = PLANS[Tier.HOBBY].limits.calls_per_day or 0
PER_MONTH: Final = PLANS[Tier.HOBBY].limits.calls_per_month or 0
GOOD: Final = MEMO
TOO_LONG: Final = MEMO | {"text": "x" * 5001}
OTHER_FAULTS: Final[Sequence[Any]] = (
    MEMO | {"voice": "unknown-voice"},
    MEMO | {"text": ""},
    {"voice": "rachel"},
    MEMO | {"title": 7},
)


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server:
        await server.start()
        environ = micro_environ(server.url)
        with gateway_in(environ) as one, gateway_in(environ) as two:
            await through(one, two, environ=environ, rounds=ROUNDS)


async def through(one: Process, two: Process, *, environ: Mapping[str, str], rounds: int) -> None:
    """Start gateways that share the store of `environ`, and race on them."""
    await asyncio.gather(one.start(), two.start())
    front = Front(one.url, two.url)
    try:
        async with opened_store(maintenance_settings(environ)) as store:
            for number in range(rounds):
                assert utc_now().date() == (utc_now() + MIDNIGHT).date(), "too near midnight: try again after it"
                print(f"  round {number + 1}: {await _round(front, store, number)}", flush=True)
    finally:
        await front.close()


async def spend(store: Store, person: Person, *, day_left: int, month_left: int | None = None) -> None:
    """Leave a new owner `day_left` memos of the day and `month_left` of the month; None: only the day's are spent."""
    now = utc_now()
    await store.increment(f"{person.id}:calls:{now:%Y-%m-%d}", PER_DAY - day_left)
    month = PER_DAY - day_left if month_left is None else PER_MONTH - month_left
    await store.increment(f"{person.id}:calls:{now:%Y-%m}", month)


async def newcomer(front: Front) -> Person:
    person = somebody()
    reply = await sign_up(front, person)
    assert reply.status == 201, reply
    return person


async def _round(front: Front, store: Store, number: int) -> str:
    return "; ".join(
        [
            await _long_texts_take_no_place(front, store),
            await _invalid_requests_take_no_place(front, store, number),
            await _day_and_month_end_together(front, store),
            await _spent_day_and_a_long_text(front, store),
        ]
    )


async def _long_texts_take_no_place(front: Front, store: Store) -> str:
    """Row 1: 10 left; thirty texts that are too long, and one good memo."""
    person = await newcomer(front)
    await spend(store, person, day_left=10)
    replies = await _at_once(front, person, [*[TOO_LONG] * 15, GOOD, *[TOO_LONG] * 15])
    return f"1: {await _outcome(front, person, replies, made=1, refused=0, invalid=30, used=PER_DAY - 9)}"


async def _invalid_requests_take_no_place(front: Front, store: Store, number: int) -> str:
    """Row 2: 100 left; 140 good, 40 too long and 80 otherwise invalid requests."""
    person = await newcomer(front)
    await spend(store, person, day_left=100)
    bodies = [*[GOOD] * 140, *[TOO_LONG] * 40, *list(OTHER_FAULTS) * 20]
    seeded(number).shuffle(bodies)
    replies = await _at_once(front, person, bodies)
    return f"2: {await _outcome(front, person, replies, made=100, refused=40, invalid=120, used=PER_DAY)}"


async def _day_and_month_end_together(front: Front, store: Store) -> str:
    """Row 3: 5 left of the day and 5 of the month; 40 good memos."""
    person = await newcomer(front)
    await spend(store, person, day_left=5, month_left=5)
    replies = await _at_once(front, person, [GOOD] * 40)
    return f"3: {await _outcome(front, person, replies, made=5, refused=35, invalid=0, used=PER_DAY)}"


async def _spent_day_and_a_long_text(front: Front, store: Store) -> str:
    """Rows 4 and 5: a limit that is spent; 200 memos and a text that is invalid at any time."""
    person = await newcomer(front)
    await spend(store, person, day_left=0)
    replies = await _at_once(front, person, [*[GOOD] * 200, TOO_LONG])
    return f"4, 5: {await _outcome(front, person, replies, made=0, refused=200, invalid=1, used=PER_DAY)}"


async def _at_once(front: Front, person: Person, bodies: Sequence[Any]) -> list[Reply]:
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def make(body: Any) -> Reply:
        async with turns:
            return await front.send("POST", "/api/v1/memo", token=person.key, json=body)

    return await asyncio.gather(*(make(body) for body in bodies))


async def _outcome(
    front: Front, person: Person, replies: Sequence[Reply], *, made: int, refused: int, invalid: int, used: int
) -> str:
    """Check that the outcome is exact, and that no refusal shows more used places than exist.

    A busy machine may answer some requests 503: then fewer memos may be made, and exactly their places are used.
    """
    statuses = Counter(reply.status for reply in replies)
    late = statuses[503]
    wanted = +Counter({201: made, 429: refused, 400: invalid})
    assert late or statuses == wanted, f"{dict(statuses)} in place of {dict(wanted)}"
    assert statuses[201] <= made, f"{statuses[201]} memos were made where {made} were left"
    assert statuses[400] <= invalid, statuses
    for reply in replies:
        if reply.status == 429:
            details = reply.body["error"]["details"]
            assert 0 <= details["used"] <= details["limit"], reply
    limits = await front.send("GET", "/api/v1/usage/limits", token=person.session)
    assert limits.body["daily"]["used"] == used - made + statuses[201], limits
    assert len(await memos_of(front, person)) == statuses[201]
    longest_s = max(reply.took_s for reply in replies)
    return f"{', '.join(f'{count} x {status}' for status, count in sorted(statuses.items()))} ({longest_s:.1f} s)"
