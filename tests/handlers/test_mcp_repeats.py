"""A call whose answer is lost is repeated as a new request: one memo, one charge, however it was lost."""

import asyncio
from typing import Any, Final

import httpx2
import pytest
from mcp.types import CallToolResult

from tests.handlers.conftest import NewWorld
from tests.handlers.mcp_client import NEWEST, REVISIONS, Send, Way, connected, error_of, text_of
from tests.handlers.world import Account, World
from tests.support import seeded

TIMES: Final = 10
"""Memos of one test. `make fuzz` makes ten times as many, which is a day's limit."""

TRIES: Final = 20

Tried = CallToolResult | Exception


class CutWay:
    """Loses answers to calls of tools. The seed decides: the answer is cut, or the call still runs at the repeat."""

    def __init__(self, seed: int) -> None:
        self._random = seeded(seed)
        self._running: list[asyncio.Task[httpx2.Response]] = []
        self.lost = 0

    async def __call__(self, send: Send, request: httpx2.Request) -> httpx2.Response:
        if b'"tools/call"' not in await request.aread() or self._random.random() < 0.5:
            return await send(request)
        self.lost += 1
        running = asyncio.ensure_future(send(request))
        self._running.append(running)
        for _ in range(self._random.randrange(40)):  # the server continues after a cut connection, as Lambda does
            await asyncio.sleep(0)
        raise httpx2.ReadError("the connection was cut", request=request)

    async def ended(self) -> None:
        await asyncio.gather(*self._running)


async def tried(world: World, key: str, way: Way, said: dict[str, Any], revision: str) -> Tried:
    """Make one attempt by a new client, as after a broken connection."""
    try:
        async with connected(world, key, revision, way=way) as client:
            return await client.call_tool("create_memo", said)
    except Exception as exc:  # noqa: BLE001 the client raises many kinds for a cut connection
        return exc


async def until_made(world: World, key: str, way: Way, said: dict[str, Any], revision: str) -> list[Tried]:
    """Retry until there is a memo, as the tool's errors instruct."""
    tries: list[Tried] = []
    for _ in range(TRIES):
        tries.append(await tried(world, key, way, said, revision))
        last = tries[-1]
        if isinstance(last, CallToolResult) and not last.is_error:
            return tries
        if isinstance(last, CallToolResult):
            assert error_of(last) == "CONFLICT"
            assert "The first request is still running" in text_of(last)
            assert "Wait 2 seconds, then call again with the same arguments" in text_of(last)
    raise AssertionError(tries)


@pytest.mark.parametrize("revision", REVISIONS[:2])
def test_a_cut_answer_and_a_repeat_make_one_memo(
    new_world: NewWorld, request: pytest.FixtureRequest, revision: str
) -> None:
    """Each memo has one row and one charge, and the last answer is that memo."""
    times = 10 * TIMES if request.config.getoption("--fuzz") else TIMES
    world = new_world(seed=1)
    ada: Account = world.sign_up()
    way = CutWay(1)

    async def made() -> list[str]:
        ids = []
        for number in range(times):
            said = {"text": f"Memo {number}", "voice": "sam", "idempotencyKey": f"key-{number}"}
            last = (await until_made(world, ada.key, way, said, revision))[-1]
            assert isinstance(last, CallToolResult)
            assert last.structured_content is not None
            ids.append(last.structured_content["id"])
        await way.ended()
        return ids

    ids = world.run(made())
    assert way.lost > times / 2
    assert listed(world, ada) == sorted(ids)
    limits = world.get("/api/v1/usage/limits", token=ada.key).json
    assert (limits["daily"]["used"], limits["monthly"]["used"]) == (times, times)
    assert world.get("/api/keys", token=ada.session).json["keys"][0]["usageCount"] == times


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_clients_with_one_key_make_one_memo(new_world: NewWorld, seed: int) -> None:
    """Two concurrent clients with one idempotencyKey get the same memo, immediately or after a wait."""
    world = new_world(seed=seed)
    ada = world.sign_up()
    said = {"text": "Hello", "voice": "sam", "idempotencyKey": "one"}

    async def straight(send: Send, request: httpx2.Request) -> httpx2.Response:
        return await send(request)

    async def both() -> list[Tried]:
        tries = [until_made(world, ada.key, straight, said, NEWEST) for _ in range(2)]
        return [tried[-1] for tried in await asyncio.gather(*tries)]

    answers = world.run(both())
    (memo_id,) = listed(world, ada)
    for answer in answers:
        assert isinstance(answer, CallToolResult)
        assert answer.structured_content is not None
        assert answer.structured_content["id"] == memo_id
    assert world.get("/api/v1/usage/limits", token=ada.key).json["daily"]["used"] == 1


def listed(world: World, account: Account) -> list[str]:
    """Return the ids of all memos in the HTTP API's list, in its order."""
    answer = world.get("/api/v1/memos", token=account.key, query={"limit": "100"})
    return sorted(memo["id"] for memo in answer.json["memos"])
