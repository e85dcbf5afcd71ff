"""The cost of operations on HYPR Micro: requests, and the number of them in a row."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest

from shared.core.settings import Settings
from shared.plans import Tier
from shared.services import Services
from shared.stores.port import Store
from shared.tables import TABLES, Tables, Users
from shared.tables.users import Role
from tests.fakes.mails import CaughtMails
from tests.fakes.micro_store_world import MicroStoreWorld, micro_store_world
from tests.fakes.stripe_network import StripeTransport
from tests.fakes.stripe_server import FakeStripe
from tests.fakes.stripe_world import SELLING, stripe_at
from tests.support import FakeClock, cheap_passwords
from tools.local import local_gateway

pytestmark = pytest.mark.anyio

ACCOUNT: Final = {"email": "me@example.org", "password": "correct horse"}
MEMO: Final = {"text": "Hello", "voice": "rachel"}


@dataclass(kw_only=True)
class Api:
    """All functions on one stand-in, with the cost of a request. Before it the store's memory of rows expires."""

    world: MicroStoreWorld
    http: httpx.AsyncClient
    store: Store
    clock: FakeClock
    store_clock: Any
    stripe: FakeStripe

    async def cost(self, method: str, path: str, **request: Any) -> tuple[int, int]:
        self.store_clock.advance(5)
        with self.world.recorder.measure() as cost:
            answer = await self.http.request(method, path, **request)
        assert answer.status_code in (200, 201), answer.text
        return cost.requests, cost.depth


async def _at_once(_: float) -> None:
    """Return immediately, so that forgot-password answers without its wait."""


def named(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


@asynccontextmanager
async def micro_api() -> AsyncIterator[Api]:
    async with micro_store_world() as world:
        container = await world.container()
        await container.store.verify(TABLES)
        clock = FakeClock()
        stripe = FakeStripe(now=lambda: clock.at.timestamp())  # noqa: PLW0108 `clock.at` changes

        def build(settings: Settings) -> Services:
            return Services.on(
                container.store,
                settings,
                passwords=cheap_passwords(),
                clock=clock,
                mailer=CaughtMails(),
                sleep=_at_once,
                stripe=stripe_at(StripeTransport(stripe), settings.billing),
            )

        transport = httpx.ASGITransport(local_gateway(SELLING, build))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for path in (
                "/health",
                "/api/v1/voices",
                "/api/v1/usage",
                "/api/keys",
                "/api/v1/auth/me",
                "/api/v1/billing/tiers",
            ):
                await http.get(path)  # the cold start verifies the tables, which is not measured
            yield Api(
                world=world, http=http, store=container.store, clock=clock, store_clock=container.clock, stripe=stripe
            )


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with micro_api() as api:
        yield api


@dataclass(frozen=True, kw_only=True)
class Owner:
    id: str
    session: dict[str, str]
    key: dict[str, str]
    key_id: str


@pytest.fixture
async def owner(api: Api) -> Owner:
    account = (await api.http.post("/api/v1/auth/signup", json=ACCOUNT)).json()
    api.http.cookies.clear()
    return Owner(
        id=account["user"]["id"],
        session={"Authorization": f"Bearer {account['token']}"},
        key={"Authorization": f"Bearer {account['apiKey']['key']}"},
        key_id=account["apiKey"]["id"],
    )


async def test_a_session_is_checked_by_one_request(api: Api, owner: Owner) -> None:
    assert await api.cost("GET", "/api/v1/auth/me", headers=owner.session) == (1, 1)


@pytest.mark.parametrize("path", ["/api/v1/memos", "/api/v1/memos?limit=100", "/api/v1/usage?action=memo_created"])
async def test_a_page_is_read_beside_its_keys_check(api: Api, owner: Owner, path: str) -> None:
    """The key's check and the page are a request each: one after the other, or concurrently for a remembered key."""
    assert await api.cost("GET", path, headers=owner.key) == (2, 2)
    for _ in range(30):
        await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
        api.clock.advance(timedelta(milliseconds=1))
    assert await api.cost("GET", path, headers=owner.key) == (2, 1)


@pytest.mark.parametrize("query", ["", "?action=memo_created", "?action=user_signup"])
async def test_a_page_of_usage_logs_is_at_most_three_requests(api: Api, owner: Owner, query: str) -> None:
    """Two deep for a key that the container has not checked yet, and one for a key whose owner it remembers."""
    for deep in (2, 1):
        requests, depth = await api.cost("GET", f"/api/v1/usage{query}", headers=owner.key)
        assert (requests <= 3, depth) == (True, deep)


async def test_a_memo_is_seven_requests_two_deep(api: Api, owner: Owner) -> None:
    """Once a minute it is one more, and the first memo of a day is at most 11 requests, three deep."""
    requests, depth = await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key)
    assert (requests <= 12, depth <= 5) == (True, True), "two registers get their first values, and the month is read"
    assert await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key) == (7, 2)
    api.clock.advance(timedelta(minutes=1))
    assert await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key) == (8, 2)
    api.clock.advance(timedelta(days=1))
    requests, depth = await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key)
    assert (requests <= 11, depth <= 3) == (True, True), (requests, depth)


async def test_a_memo_of_a_key_not_remembered_is_three_deep(api: Api, owner: Owner) -> None:
    """The three rounds are its check, then the owner and the day, then the writes."""
    await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
    created = await api.http.post("/api/keys", json={}, headers=owner.session)
    key = {"Authorization": f"Bearer {created.json()['key']['key']}"}
    await Tables.on(api.store).api_keys.mark_used(owner.id, created.json()["key"]["id"], api.clock.at)
    assert await api.cost("POST", "/api/v1/memo", json=MEMO, headers=key) == (8, 3)


async def test_a_keyed_memo_is_13_requests_six_deep(api: Api, owner: Owner) -> None:
    """With an Idempotency-Key its row is read during the API key's check, and claimed while the place is reserved.

    It is as deep for an API key that is not remembered; once a minute it is one request more.
    """
    await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
    for name, most in (("one", 12), ("two", 12), ("in-a-new-minute", 13)):
        requests, depth = await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key | named(name))
        assert (requests, depth) == (most, 6)
        api.clock.advance(timedelta(minutes=name == "two"))
    created = await api.http.post("/api/keys", json={}, headers=owner.session)
    key = {"Authorization": f"Bearer {created.json()['key']['key']}"}
    await Tables.on(api.store).api_keys.mark_used(owner.id, created.json()["key"]["id"], api.clock.at)
    assert await api.cost("POST", "/api/v1/memo", json=MEMO, headers=key | named("one")) == (13, 6)


async def test_a_replay_is_six_requests_two_deep(api: Api, owner: Owner) -> None:
    """This holds even if the memo was deleted, since its log is read concurrently."""
    first = await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key | named("one"))
    assert await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key | named("one")) == (6, 2)
    await api.http.delete(f"/api/v1/memo/{first.json()['id']}", headers=owner.key)
    assert await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key | named("one")) == (6, 2)


async def test_a_memo_of_a_long_text_is_one_deeper(api: Api, owner: Owner) -> None:
    """A text that some plan refuses waits for its owner before it takes a place."""
    await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
    await Tables.on(api.store).users.change(owner.id, lambda user: user.model_copy(update={"tier": Tier.PRO}))
    long = {"text": "x" * 5001, "voice": "rachel"}
    assert await api.cost("POST", "/api/v1/memo", json=long, headers=owner.key) == (7, 3)


async def test_a_memo_near_the_months_limit_is_one_deeper(api: Api, owner: Owner) -> None:
    """Near the limit the month is taken after the day, before any speech is bought."""
    await api.store.increment(f"{owner.id}:calls:{api.clock.at:%Y-%m}", 2900)
    await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
    assert await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key) == (7, 3)


@pytest.mark.parametrize(
    "limits", [{"memosPerDay": 9}, {"memosPerDay": 9, "charactersPerDay": 900, "charactersPerMonth": 900}]
)
async def test_a_keys_limit_is_one_request_each(api: Api, owner: Owner, limits: dict[str, int]) -> None:
    """Limits are counted one after the other, before the owner's: none counts a request that another refuses."""
    await api.http.patch(f"/api/keys/{owner.key_id}", json={"limits": limits}, headers=owner.session)
    for _ in range(2):
        await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
    cost = await api.cost("POST", "/api/v1/memo", json=MEMO, headers=owner.key)
    assert cost == (7 + len(limits), 2 + len(limits))


async def test_scopes_cost_no_request(api: Api, owner: Owner) -> None:
    """A key with scopes is checked by the same one request, and a refusal by scope costs no other."""
    created = await api.http.post("/api/keys", json={"scopes": ["usage:read"]}, headers=owner.session)
    key = {"Authorization": f"Bearer {created.json()['key']['key']}"}
    assert await api.cost("GET", "/api/v1/usage", headers=key) == (3, 2)
    with api.world.recorder.measure() as cost:
        assert (await api.http.post("/api/v1/memo", json=MEMO, headers=key)).status_code == 403
    assert cost.requests == 1


async def test_a_random_string_costs_no_request(api: Api) -> None:
    """Three of four texts like keys cost no request: their last character cannot end the base64 of 32 bytes."""
    for last, requests in {"A": 1, "B": 0}.items():
        with api.world.recorder.measure() as cost:
            headers = {"Authorization": f"Bearer at_live_{'a' * 42}{last}"}
            assert (await api.http.get("/api/v1/usage/limits", headers=headers)).status_code == 401
        assert cost.requests == requests


async def test_key_rotation_costs_11_requests(api: Api, owner: Owner) -> None:
    """Rotating a key is 11 requests, at most 9 of which wait for one another; its repeat, which is 409, 5."""
    path = f"/api/keys/{owner.key_id}/rotate"
    requests, depth = await api.cost("POST", path, headers=owner.session)
    assert (requests, depth <= 9) == (11, True), (requests, depth)
    with api.world.recorder.measure() as cost:
        assert (await api.http.post(path, headers=owner.session)).status_code == 409
    assert cost.requests == 5


@pytest.mark.thorough
async def test_a_refused_rotation_is_four_requests_or_one(api: Api, owner: Owner) -> None:
    """Three after the session's check, and none once the container remembers that the hour's changes are used up."""
    path, key_id = "/api/keys/{}/rotate", owner.key_id
    for _ in range(60):
        key_id = (await api.http.post(path.format(key_id), headers=owner.session)).json()["key"]["id"]
    for most in (4, 1):
        with api.world.recorder.measure() as cost:
            assert (await api.http.post(path.format(key_id), headers=owner.session)).status_code == 429
        assert cost.requests == most


async def test_a_list_of_keys_is_four_requests_two_deep(api: Api, owner: Owner) -> None:
    """The list includes limits and their used parts, whose counters are in the range of the uses."""
    limits = {"memosPerDay": 9, "charactersPerDay": 900, "charactersPerMonth": 900}
    await api.http.patch(f"/api/keys/{owner.key_id}", json={"limits": limits}, headers=owner.session)
    await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
    assert await api.cost("GET", "/api/keys", headers=owner.session) == (4, 2)


@pytest.mark.usefixtures("owner")
async def test_login_costs_6_requests(api: Api) -> None:
    """A login is 6 requests, 3 of which wait for one another."""
    assert await api.cost("POST", "/api/v1/auth/login", json=ACCOUNT) == (6, 3)


async def test_sign_up_costs_12_requests(api: Api) -> None:
    """A sign-up is 12 requests, 7 of which wait for one another."""
    assert await api.cost("POST", "/api/v1/auth/signup", json=ACCOUNT) == (12, 7)


async def test_admins_pages_cost_a_bounded_number(api: Api, owner: Owner) -> None:
    """A list of 20 users: the admin, the page in one or two reads, and four requests a user; figures are two reads."""
    await Users(api.store).change(owner.id, lambda user: user.model_copy(update={"role": Role.ADMIN}))
    for number in range(24):
        await api.http.post("/api/v1/auth/signup", json=ACCOUNT | {"email": f"person{number}@example.org"})
        api.clock.advance(timedelta(hours=1))
    api.http.cookies.clear()
    requests, _ = await api.cost("GET", "/api/v1/admin/users", headers=owner.session)
    assert requests == 3 + 4 * 20
    requests, _ = await api.cost("GET", "/api/v1/admin/users?tier=hobby", headers=owner.session)
    assert requests == 2 + 4 * 20
    assert await api.cost("GET", f"/api/v1/admin/users/{owner.id}", headers=owner.session) == (12, 8)
    assert await api.cost("GET", "/api/v1/admin/stats", headers=owner.session) == (3, 2)


async def test_key_creation_costs_9_requests(api: Api, owner: Owner) -> None:
    """Making a key is 9 requests, 8 of which wait for one another: one counts the change of keys."""
    assert await api.cost("POST", "/api/keys", json={}, headers=owner.session) == (9, 8)


@pytest.mark.parametrize(("other_keys", "most"), [(0, 10), (1, 11)])
async def test_key_revocation_costs_11_requests(api: Api, owner: Owner, other_keys: int, most: int) -> None:
    """Revoking a key is 11 requests, 9 of which wait for one another; 10 on a ring that was never rewritten.

    One of them counts that a revocation begins, so that no list misses one that a crash interrupted.
    """
    for _ in range(other_keys):
        await api.http.post("/api/keys", json={}, headers=owner.session)
    assert await api.cost("DELETE", f"/api/keys/{owner.key_id}", headers=owner.session) == (most, 9)


@pytest.mark.parametrize(
    ("path", "requests"),
    [
        ("/api/v1/analytics/charts?days=30", 3),
        ("/api/v1/analytics/charts?days=366", 3),
        ("/api/v1/analytics/summary", 3),
        ("/api/v1/analytics/voices", 3),
        ("/api/v1/analytics/usage", 3),
        ("/api/v1/analytics/errors", 4),
        ("/api/v1/usage/series?bucket=1d&groupBy=key&startTime=2026-01-25", 4),
        ("/api/v1/usage/series?bucket=1h&groupBy=voice", 4),
        ("/api/v1/dashboard/stats", 8),
        ("/api/v1/usage/limits", 2),
    ],
)
async def test_figures_are_a_few_requests_at_once_behind_the_check(
    api: Api, owner: Owner, path: str, requests: int
) -> None:
    for _ in range(3):
        await api.http.post("/api/v1/memo", json=MEMO, headers=owner.key)
        api.clock.advance(timedelta(days=20))
    await api.http.get(path, headers=owner.key)
    cost, depth = await api.cost("GET", path, headers=owner.key)
    assert (cost - 1 <= requests, depth <= 2) == (True, True), (cost, depth)


async def test_webhook_costs_9_requests_or_16(api: Api, owner: Owner) -> None:
    """An event that changes nothing is at most 9 requests, and one that changes the tier 16. Stripe gets one request.

    One of the 16 counts the plan for the admin's figures.
    """
    session = (await api.http.post("/api/v1/billing/checkout", headers=owner.session)).json()["sessionId"]
    subscription = api.stripe.objects.pay(session)
    asked = len(api.stripe.calls)
    for change, most in ((None, 16), (None, 9), (api.stripe.objects.end, 16), (None, 9)):
        if change is not None:
            change(subscription)
        body, signature = api.stripe.signed(api.stripe.objects.events[-1])
        headers = {"stripe-signature": signature}
        requests, _ = await api.cost("POST", "/api/webhooks/stripe", content=body, headers=headers)
        assert requests <= most
    assert len(api.stripe.calls) == asked + 4


async def test_a_forged_event_costs_no_request(api: Api) -> None:
    """Neither the store nor Stripe gets a request."""
    with api.world.recorder.measure() as cost:
        answer = await api.http.post("/api/webhooks/stripe", content=b"{}", headers={"stripe-signature": "t=1,v1=2"})
    assert (answer.status_code, cost.requests, api.stripe.calls) == (400, 0, [])
