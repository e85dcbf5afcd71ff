"""The cost of requests without credentials, in requests to HYPR Micro, as a table."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pytest

from shared.core.settings import DEVELOPMENT_SECRET
from tests.test_budgets import Api, micro_api

pytestmark = pytest.mark.anyio

EMAIL: Final = "stranger@example.org"
TAKEN: Final = {"email": "me@example.org", "password": "correct horse"}
FORGED: Final = "a.b.c"
KEY: Final = "at_live_" + "A" * 43

LINK: Final = f"{'0' * 32}.99999999999.{'A' * 43}"
"""A link's token of valid form: only the account's row decides whether it is valid."""

PING: Final = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
SPEECH: Final = {"model": "m", "input": "Hi", "voice": "sam"}

COSTS: Final[Mapping[str, tuple[str, str, dict[str, Any], int]]] = {
    "voices": ("GET", "/api/v1/voices", {}, 0),
    "plans": ("GET", "/api/v1/billing/tiers", {}, 0),
    "page": ("GET", "/app", {}, 0),
    "audio": ("GET", "/audio/simulated-10.mp3", {}, 0),
    "audio by an invented name": ("GET", "/audio/invented.mp3", {}, 0),
    "unknown path": ("GET", "/nothing", {}, 0),
    "liveness": ("GET", "/health/live", {}, 0),
    "health within five seconds": ("GET", "/health", {}, 0),
    "no credential": ("GET", "/api/v1/auth/me", {}, 0),
    "forged session": ("GET", "/api/v1/auth/me", {"headers": {"authorization": f"Bearer {FORGED}"}}, 0),
    "session of the secret in the source": ("GET", "/api/keys", {"headers": {"authorization": DEVELOPMENT_SECRET}}, 0),
    "four forged cookies": ("GET", "/api/v1/auth/me", {"headers": {"cookie": f"auth_token={FORGED};" * 4}}, 0),
    "malformed key": ("GET", "/api/v1/memos", {"headers": {"authorization": "at_live_x"}}, 0),
    "invented key": ("GET", "/api/v1/memos", {"headers": {"authorization": KEY}}, 1),
    "invented key with an idempotency key": (
        *("POST", "/api/v1/memo"),
        {"headers": {"authorization": KEY, "idempotency-key": "k"}, "json": {"text": "Hi", "voice": "sam"}},
        2,  # its row is read concurrently with the key's check, which makes a valid key's memo faster
    ),
    "invented key of an agent": ("POST", "/mcp", {"headers": {"authorization": KEY}, "json": PING}, 1),
    "invented key of an SDK": ("POST", "/v1/audio/speech", {"headers": {"authorization": KEY}, "json": SPEECH}, 1),
    "event that Stripe did not sign": ("POST", "/api/webhooks/stripe", {"headers": {"stripe-signature": "t=1"}}, 0),
    "logout without a session": ("POST", "/api/v1/auth/logout", {}, 0),
    "invalid sign-up": ("POST", "/api/v1/auth/signup", {"json": {"email": EMAIL, "password": "short"}}, 0),
    "sign-up of a taken address": ("POST", "/api/v1/auth/signup", {"json": TAKEN}, 3),
    "login of an unknown address": ("POST", "/api/v1/auth/login", {"json": {"email": EMAIL, "password": "x"}}, 4),
    "forgotten password, unknown": ("POST", "/api/v1/auth/forgot-password", {"json": {"email": EMAIL}}, 4),
    "forgotten password, known": ("POST", "/api/v1/auth/forgot-password", {"json": {"email": TAKEN["email"]}}, 4),
    "forged reset": ("POST", "/api/v1/auth/reset-password", {"json": {"token": FORGED, "newPassword": "x" * 9}}, 0),
    "forged reset of an invented account": (
        *("POST", "/api/v1/auth/reset-password"),
        {"json": {"token": LINK, "newPassword": "x" * 9}},
        1,
    ),
    "forged link of an invented account": ("POST", "/api/v1/auth/verify-email", {"json": {"token": LINK}}, 1),
    "forged link": ("POST", "/api/v1/auth/verify-email", {"json": {"token": FORGED}}, 0),
    "page of links": ("GET", "/app", {}, 0),
    "demo": ("POST", "/api/v1/demo", {"json": {"text": "Hi", "voice": "sam"}}, 1),
    "invalid demo": ("POST", "/api/v1/demo", {"json": {"text": "", "voice": "sam"}}, 0),
    "foreign origin": ("POST", "/api/keys", {"headers": {"origin": "https://evil.example.org"}, "json": {}}, 0),
}
"""Method, path, the rest of the request, and its cost in requests to the store."""


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with micro_api() as api:
        for warm in ("/health", "/api/v1/billing/tiers"):
            await api.http.get(warm)
        await api.http.post("/mcp", json=PING, headers={"authorization": KEY})
        await api.http.post("/api/v1/auth/signup", json=TAKEN)
        yield api


async def cost(api: Api, method: str, path: str, request: dict[str, Any]) -> int:
    """Send one request of a stranger, and return its cost, whatever the answer."""
    api.http.cookies.clear()
    with api.world.recorder.measure() as cost:
        await api.http.request(method, path, **request)
    return cost.requests


@pytest.mark.parametrize("row", COSTS)
async def test_anonymous_request_costs_what_the_table_says(api: Api, row: str) -> None:
    """A stranger's single request never costs more; frequent ones are refused at no cost (below)."""
    method, path, request, requests = COSTS[row]
    assert await cost(api, method, path, request) == requests


@pytest.mark.parametrize(
    ("row", "limit", "first"),
    [("login of an unknown address", 10, 3), ("sign-up of a taken address", 20, 2), ("demo", 60, 1)],
    ids=["login", "sign-up", "demo"],
)
async def test_anonymous_refusal_costs_nothing_once_known(api: Api, row: str, limit: int, first: int) -> None:
    """The first refusal costs at most three requests, and the following ones none."""
    method, path, request, _ = COSTS[row]
    for _ in range(limit - 1 if request.get("json") == TAKEN else limit):  # its first sign-up takes the address
        await cost(api, method, path, request)
    assert await cost(api, method, path, request) == first
    assert [await cost(api, method, path, request) for _ in range(5)] == [0] * 5


async def test_anonymous_refusal_costs_no_more_after_many_accounts(api: Api) -> None:
    """After any number of tried e-mail addresses, one more login costs four requests."""
    costs = [
        await cost(api, "POST", "/api/v1/auth/login", {"json": {"email": f"u{n}@example.org", "password": "x"}})
        for n in range(30)
    ]
    assert set(costs) == {4}
