"""The first event in a container: services are built and the store is verified, once; until then, 503."""

from collections.abc import Callable

import pytest

from handlers import memos
from shared.core.settings import Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.stores.port import StoreError
from shared.web.function import Function
from tests.events import http_event
from tests.handlers.world import PRODUCTION, PUBLIC_URL, Logs, World
from tests.support import BY_SES, SECRET, FakeClock, cheap_passwords

NewWorld = Callable[..., World]
UNAVAILABLE = (503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable. Please try again.")
IN_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "agent-talk-memos", "SESSION_SECRET": SECRET, "SPEECH": "simulated", **BY_SES}
VOICES = "/api/v1/voices"


def test_function_does_nothing_before_the_first_event(world: World) -> None:
    """No services are built and no table is verified."""
    assert (world.built, world.store.verified) == ([], 0)


def test_startup_verifies_once(world: World) -> None:
    """Further events neither build nor verify."""
    for _ in range(3):
        assert world.get(VOICES).status == 200
    assert (len(world.built), world.store.verified) == (1, 1)


@pytest.mark.anyio
async def test_startup_verifies_once_for_a_crowd(world: World) -> None:
    """Events at the same moment wait for one verification."""
    import asyncio  # noqa: PLC0415

    async with world.http("memos") as client:
        answers = await asyncio.gather(*(client.get(VOICES) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert (len(world.built), world.store.verified) == (1, 1)


@pytest.mark.parametrize("path", [VOICES, "/api/v1/memos", "/nothing"])
def test_startup_is_503_and_tried_again_after_a_failure(world: World, path: str) -> None:
    """Each event verifies again, until one succeeds."""
    world.is_down = True
    for attempt in (1, 2):
        answer = world.handle("memos", http_event("GET", path))
        assert answer.refusal == UNAVAILABLE
        assert answer.error.keys() == {"code", "message"}
        assert int(answer.headers["retry-after"]) > 0
        assert world.store.verified == attempt
    world.is_down = False
    assert world.get(VOICES).status == 200
    assert world.get(VOICES).status == 200
    assert world.store.verified == 3


async def refuses() -> None:
    raise StoreError("the store does not take this request")


async def answers() -> None:
    """Return immediately."""


def test_startup_is_503_when_the_store_refuses(world: World, logs: Logs) -> None:
    """A refusal is logged, and the next event verifies again."""
    world.disturb(refuses)
    assert world.get(VOICES).refusal == UNAVAILABLE
    assert "cannot serve: the store does not take this request" in logs.text
    world.disturb(answers)
    assert world.get(VOICES).status == 200


def test_outage_is_503_on_every_route(world: World) -> None:
    """An outage is never answered as 401, 404 or a count of 0."""
    account = world.sign_up()
    memo = world.memo(account.key)
    for path in (f"/api/v1/memo/{memo['id']}", "/api/v1/memos", "/api/v1/usage", "/api/v1/usage/limits"):
        assert world.get(path, token=account.key).status == 200
    world.get("/api/keys", token=account.session)
    world.get("/api/v1/billing/subscription", token=account.session)
    world.is_down = True
    for method, path, token, body in (
        ("GET", f"/api/v1/memo/{memo['id']}", account.key, None),
        ("GET", "/api/v1/memos", account.key, None),
        ("GET", "/api/v1/usage", account.session, None),
        ("GET", "/api/v1/usage/limits", account.key, None),
        ("GET", "/api/v1/dashboard/account", account.session, None),
        ("GET", "/api/keys", account.session, None),
        ("POST", "/api/keys", account.session, None),
        ("DELETE", f"/api/keys/{account.key_id}", account.session, None),
        ("GET", "/api/v1/auth/me", account.session, None),
        ("POST", "/api/v1/auth/logout", account.session, None),
        ("GET", "/api/v1/billing/subscription", account.session, None),
        ("POST", "/api/v1/memo", account.key, '{"text": "Hi", "voice": "sam"}'),
        ("POST", "/api/v1/demo", None, '{"text": "Hi", "voice": "sam"}'),
        ("POST", "/api/v1/auth/login", None, '{"email": "a@example.org", "password": "12345678"}'),
        ("POST", "/api/v1/auth/signup", None, '{"email": "a@example.org", "password": "12345678"}'),
    ):
        answer = world.send(method, path, token=token, body=body)
        assert answer.refusal == UNAVAILABLE, path
        assert int(answer.headers["retry-after"]) > 0
    assert world.get("/api/v1/billing/tiers").status == 200
    world.is_down = False
    assert world.get("/api/v1/usage/limits", token=account.key).json["daily"]["used"] == 1


def test_startup_refuses_lambda_without_a_store(new_world: NewWorld, logs: Logs) -> None:
    """The log line names the variables that choose one."""
    world = new_world({**IN_LAMBDA, "AGENT_TALK_STORE": ""})
    assert world.get(VOICES).refusal == UNAVAILABLE
    assert world.built == []
    (line,) = [line for line in logs.lines if line["level"] == "ERROR"]
    for name in ("AGENT_TALK_STORE", "HYPR_URL", "HYPERMICRO_API_KEY"):
        assert name in line["message"]


def test_startup_logs_all_problems_at_once(new_world: NewWorld, logs: Logs) -> None:
    """All problems are in one ERROR line, by the variables' names."""
    world = new_world(
        {**IN_LAMBDA, "AGENT_TALK_ENV": "production", "SESSION_SECRET": "", "PUBLIC_URL": "", "LOG_LEVEL": "LOUD"}
    )
    assert world.get(VOICES).refusal == UNAVAILABLE
    (line,) = [line for line in logs.lines if line["level"] == "ERROR"]
    for name in ("SESSION_SECRET", "PUBLIC_URL", "LOG_LEVEL", "AGENT_TALK_STORE"):
        assert name in line["message"]


@pytest.mark.parametrize("environ", [{"IS_LOCAL": "true", "AGENT_TALK_STORE": ""}, {"AGENT_TALK_STORE": "memory"}])
def test_startup_takes_memory_locally_or_by_name(new_world: NewWorld, environ: dict[str, str]) -> None:
    """Memory serves in an emulation, or if AGENT_TALK_STORE names it."""
    world = new_world({**IN_LAMBDA, **environ})
    assert world.get(VOICES).status == 200


def test_function_keeps_one_event_loop(world: World) -> None:
    """Connections belong to a loop, so events share it."""
    account = world.sign_up()
    loops = len(world.loops)
    for _ in range(3):
        world.get("/api/v1/auth/me", token=account.session)
    assert (loops, len(world.loops)) == (1, 1)


def test_functions_share_nothing_but_the_store(world: World) -> None:
    """Each function builds its own services."""
    account = world.sign_up()
    memo = world.memo(account.key)
    assert world.get("/api/v1/usage", token=account.key).json["logs"][0]["id"] == memo["id"]
    world.get("/api/keys", token=account.session)
    assert len({id(services) for services in world.built}) == len(world.built) == 4


class Exposure:
    """A store that is open without credentials or not, and the number of the container's checks."""

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.is_open

    def function(self, environ: dict[str, str]) -> Function:
        def build(settings: Settings) -> Services:
            return Services.on(
                MemoryStore(), settings, passwords=cheap_passwords(), clock=FakeClock(), is_open_to_all=self
            )

        return memos.handler.with_environment({"AGENT_TALK_STORE": "memory", "PUBLIC_URL": PUBLIC_URL} | environ, build)


def status(function: Function) -> int:
    try:
        answered: int = function(http_event("GET", VOICES), None)["statusCode"]
    finally:
        function.close()
    return answered


def test_startup_refuses_an_open_store_in_production(logs: Logs) -> None:
    """With a server that makes keys without credentials production does not serve, and the log contains a remedy."""
    assert status(Exposure(is_open=True).function(PRODUCTION)) == 503
    (line,) = [line for line in logs.lines if line["level"] == "ERROR"]
    for word in ("GET /api/auth", "HYPR_PRIVATE_NETWORK", "/api/cache"):
        assert word in line["message"]


def test_startup_logs_an_open_store_in_every_stage(logs: Logs) -> None:
    """In development the container serves, with an ERROR line."""
    assert status(Exposure(is_open=True).function({})) == 200
    (line,) = [line for line in logs.lines if line["level"] == "ERROR"]
    assert "GET /api/auth" in line["message"]


def test_startup_takes_the_risk_that_a_setting_takes(logs: Logs) -> None:
    """On a private network the store is not checked, and no error is logged."""
    exposure = Exposure(is_open=True)
    assert status(exposure.function(PRODUCTION | {"HYPR_PRIVATE_NETWORK": "1"})) == 200
    assert exposure.asked == 0
    assert [line for line in logs.lines if line["level"] == "ERROR"] == []


def test_startup_asks_once_whether_the_store_is_open(logs: Logs) -> None:
    """A store that needs credentials costs one question a container, and no line."""
    exposure = Exposure(is_open=False)
    function = exposure.function(PRODUCTION)
    try:
        answers = [function(http_event("GET", VOICES), None)["statusCode"] for _ in range(3)]
    finally:
        function.close()
    assert (answers, exposure.asked) == ([200] * 3, 1)
    assert [line for line in logs.lines if line["level"] == "ERROR"] == []
