"""Invariants under any interleaving of requests, through each function's ASGI interface, on seeded schedules."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest

from shared.tables import MEMOS, USERS
from tests.handlers.world import PASSWORD, Account, World, account_of
from tests.support import one_quickly

pytestmark = pytest.mark.anyio

NewWorld = Callable[..., World]
SIGN_UP = "/api/v1/auth/signup"
LOG_IN = "/api/v1/auth/login"
CHANGE = "/api/v1/auth/change-password"
MEMO = "/api/v1/memo"
SAY = {"text": "Hello", "voice": "sam"}

seeds = pytest.mark.parametrize("seed", one_quickly(1, 2, 3))


async def sign_up(world: World, email: str = "ada@example.org") -> Account:
    async with world.http("users") as client:
        answer = await client.post(SIGN_UP, json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201
    return account_of(answer.json())


def statuses(answers: Iterable[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def get(world: World, function: str, path: str, token: str) -> Any:
    async with world.http(function, token) as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    return answer.json()


async def spend(world: World, account: Account, memos: int) -> None:
    for window in ("2026-03-02", "2026-03"):
        await world.store.increment(f"{account.id}:calls:{window}", memos)


@pytest.mark.parametrize(("left", "seed"), one_quickly((30, 3), (100, 1)))
async def test_no_more_memos_than_the_limit_get_through(new_world: NewWorld, left: int, seed: int) -> None:
    world = new_world(seed=seed)
    ada = await sign_up(world)
    await spend(world, ada, 100 - left)
    async with world.http("memos", ada.key) as client:
        answers = await asyncio.gather(*(client.post(MEMO, json=SAY) for _ in range(200)))
    assert statuses(answers) == {201: left, 429: 200 - left}
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 429} == {"DAILY_LIMIT_EXCEEDED"}
    limits = await get(world, "usage", "/api/v1/usage/limits", ada.key)
    assert (limits["daily"]["used"], limits["monthly"]["used"]) == (100, 100)
    assert len((await world.store.scan(MEMOS)).rows) == left
    remaining = [int(a.headers["x-ratelimit-remaining"]) for a in answers if a.status_code == 201]
    assert sorted(remaining) == list(range(left))
    (key,) = (await get(world, "keys", "/api/keys", ada.session))["keys"]
    assert key["usageCount"] == left


@seeds
async def test_one_address_has_one_account(new_world: NewWorld, seed: int) -> None:
    world = new_world({"SIGNUPS_PER_ADDRESS": "1000"}, seed=seed)
    async with world.http("users") as client:
        answers = await asyncio.gather(
            *(client.post(SIGN_UP, json={"email": "ada@example.org", "password": PASSWORD}) for _ in range(50))
        )
    assert statuses(answers) == {201: 1, 409: 49}
    (winner,) = (account_of(answer.json()) for answer in answers if answer.status_code == 201)
    assert (await get(world, "users", "/api/v1/auth/me", winner.session))["user"]["id"] == winner.id
    assert [key["id"] for key in (await get(world, "keys", "/api/keys", winner.session))["keys"]] == [winner.key_id]
    assert [row.key.sort for row in (await world.store.scan(USERS)).rows] == [winner.id]


@seeds
async def test_an_address_makes_no_more_sign_ups_than_its_limit(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed=seed)
    async with world.http("users") as client:
        answers = await asyncio.gather(
            *(client.post(SIGN_UP, json={"email": f"u{n}@example.org", "password": PASSWORD}) for n in range(40))
        )
    assert statuses(answers) == {201: 20, 429: 20}


@seeds
async def test_no_more_keys_than_the_tier_admits_are_made(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed=seed)
    ada = await sign_up(world)
    async with world.http("keys", ada.session) as client:
        answers = await asyncio.gather(*(client.post("/api/keys", json={}) for _ in range(20)))
    assert statuses(answers) == {201: 1, 400: 19}
    keys = (await get(world, "keys", "/api/keys", ada.session))["keys"]
    (made,) = (answer.json()["key"]["id"] for answer in answers if answer.status_code == 201)
    assert [key["id"] for key in keys] == [made, ada.key_id]


@seeds
async def test_an_acknowledged_revocation_holds_against_uses(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed=seed)
    ada = await sign_up(world)
    acknowledged = False
    late: list[int] = []

    async def use(client: httpx.AsyncClient, turns: int) -> httpx.Response:
        for _ in range(turns):
            await asyncio.sleep(0)
        begun_late = acknowledged
        answer = await client.post(MEMO, json=SAY)
        if begun_late:
            late.append(answer.status_code)
        return answer

    async def revoke(client: httpx.AsyncClient) -> httpx.Response:
        nonlocal acknowledged
        await asyncio.sleep(0)
        answer = await client.delete(f"/api/keys/{ada.key_id}")
        acknowledged = True
        return answer

    async with world.http("memos", ada.key) as user, world.http("keys", ada.session) as owner:
        revoked, *answers = await asyncio.gather(revoke(owner), *(use(user, turns) for turns in range(100)))
        late += [(await user.post(MEMO, json=SAY)).status_code for _ in range(3)]
    assert revoked.status_code == 200
    counted = statuses(answers)
    assert counted.keys() <= {201, 403}
    assert set(late) == {403}
    (key,) = (await get(world, "keys", "/api/keys", ada.session))["keys"]
    assert (key["isActive"], key["usageCount"]) == (False, counted[201])
    limits = await get(world, "usage", "/api/v1/usage/limits", ada.session)
    assert limits["daily"]["used"] == counted[201]


@seeds
async def test_of_password_changes_at_once_one_holds(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed=seed)
    ada = await sign_up(world)
    async with world.http("users", ada.session) as client:
        answers = await asyncio.gather(
            *(
                client.post(CHANGE, json={"currentPassword": PASSWORD, "newPassword": f"new password {n}"})
                for n in range(10)
            )
        )
        assert statuses(answers) == {200: 1, 401: 9}
        (winner,) = (n for n, answer in enumerate(answers) if answer.status_code == 200)
        logins = [
            await client.post(LOG_IN, json={"email": ada.email, "password": password})
            for password in (PASSWORD, f"new password {winner}")
        ]
    assert [answer.status_code for answer in logins] == [401, 200]
    await get(world, "users", "/api/v1/auth/me", answers[winner].json()["token"])


@seeds
async def test_logouts_at_once_end_each_its_own_session(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed=seed)
    ada = await sign_up(world)
    async with world.http("users") as client:
        logins = await asyncio.gather(
            *(client.post(LOG_IN, json={"email": ada.email, "password": PASSWORD}) for _ in range(10))
        )
        tokens = [answer.json()["token"] for answer in logins]
        headers = [{"authorization": f"Bearer {token}"} for token in tokens]
        client.cookies.clear()
        await asyncio.gather(*(client.post("/api/v1/auth/logout", headers=sent) for sent in headers[:5]))
        client.cookies.clear()
        checks = await asyncio.gather(*(client.get("/api/v1/auth/me", headers=sent) for sent in headers))
    assert [answer.status_code for answer in checks] == [401] * 5 + [200] * 5


@seeds
async def test_no_more_wrong_passwords_are_checked_than_the_limit(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed=seed)
    ada = await sign_up(world)
    async with world.http("users") as client:
        answers = await asyncio.gather(
            *(client.post(LOG_IN, json={"email": ada.email, "password": f"guess {n}"}) for n in range(40))
        )
    assert statuses(answers) == {401: 10, 429: 30}
    assert len(world.hasher.checks) == 10


@seeds
async def test_no_more_accounts_are_tried_than_an_address_may(new_world: NewWorld, seed: int) -> None:
    world = new_world({"FAILED_LOGINS_PER_ADDRESS": "15"}, seed=seed)
    async with world.http("users") as client:
        answers = await asyncio.gather(
            *(client.post(LOG_IN, json={"email": f"u{n}@example.org", "password": "a guess"}) for n in range(40))
        )
    assert statuses(answers).keys() <= {401, 429}
    assert len(world.hasher.checks) == statuses(answers)[401] <= 15


@seeds
async def test_no_more_demos_are_made_than_the_limit(new_world: NewWorld, seed: int) -> None:
    world = new_world(seed=seed)
    async with world.http("memos") as client:
        answers = await asyncio.gather(*(client.post("/api/v1/demo", json=SAY) for _ in range(100)))
    assert statuses(answers) == {201: 60, 429: 40}
