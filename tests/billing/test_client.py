"""The funnel to Stripe: errors of the SDK's exceptions; one deadline; idempotency keys that a repeat keeps."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest
import stripe
from stripe import _error as stripe_errors

from shared.billing.client import PAGE, StripeApi, meaning
from shared.billing.client import VERSION as PINNED
from shared.billing.opening import StripeConnection, stripe_opener
from shared.billing.stripe_errors import (
    StripeBroke,
    StripeBusy,
    StripeFailed,
    StripeMissing,
    StripeRefused,
    StripeSilent,
)
from shared.core.errors import ServiceUnavailable
from shared.observability import request_stats
from tests.fakes.stripe_network import StripeFault, StripeTransport, no_wait
from tests.fakes.stripe_server import KEY, PRO, VERSION, FakeStripe
from tests.fakes.stripe_world import BILLING, stripe_at
from tests.handlers.world import kept_logs

pytestmark = pytest.mark.anyio


def answered(status: int, **error: Any) -> Callable[[httpx.Request], httpx.Response]:
    headers = {"request-id": "req_1", **error.pop("headers", {})}
    return lambda _: httpx.Response(status, json={"error": {"message": "no", **error}}, headers=headers)


def api(handler: Callable[[httpx.Request], httpx.Response], *, time_left_s: float = 12.0) -> StripeApi:
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return StripeApi(BILLING, http, sleep=no_wait, time_left_s=lambda: time_left_s)


def raises(error: type[Exception]) -> Callable[[httpx.Request], httpx.Response]:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error("broken", request=request)  # type: ignore[call-arg]

    return handler


MISSING: Final = {"type": "invalid_request_error", "code": "resource_missing", "param": "customer"}


@pytest.mark.parametrize(
    ("handler", "failed"),
    [
        (raises(httpx.ConnectError), StripeSilent),
        (raises(httpx.ConnectTimeout), StripeSilent),
        (raises(httpx.ReadTimeout), StripeSilent),
        (raises(httpx.RemoteProtocolError), StripeSilent),
        (answered(400, type="invalid_request_error"), StripeRefused),
        (answered(400, **MISSING), StripeMissing),
        (answered(404, type="invalid_request_error"), StripeMissing),
        (answered(400, type="idempotency_error"), StripeRefused),
        (answered(400, code="rate_limit"), StripeBusy),
        (answered(401), StripeRefused),
        (answered(402, type="card_error"), StripeRefused),
        (answered(403), StripeRefused),
        (answered(409, code="idempotency_key_in_use"), StripeBusy),
        (answered(429, code="lock_timeout"), StripeBusy),
        (answered(500, type="api_error"), StripeBroke),
        (answered(503), StripeBroke),
        (lambda _: httpx.Response(200, text="<html>"), StripeBroke),
        (lambda _: httpx.Response(502, text="<html>"), StripeBroke),
        (lambda _: httpx.Response(302, headers={"location": "https://example.org"}), StripeBroke),
    ],
)
async def test_failure_of_a_request_has_its_meaning(
    handler: Callable[[httpx.Request], httpx.Response], failed: type[StripeFailed]
) -> None:
    """Each answer and network failure raises one error, a 503 to the caller. The log names the call, not the key."""
    with kept_logs() as logs, pytest.raises(StripeFailed) as caught:
        await api(handler).create_portal("cus_1", return_url="https://app.example.org")
    assert type(caught.value) is failed
    assert isinstance(caught.value, ServiceUnavailable)
    assert "could not create a portal session: Stripe" in logs.text
    assert KEY not in logs.text


async def test_failure_keeps_what_stripe_said() -> None:
    """The error has Stripe's status, text, parameter and request id, and whether the answer was a repeat."""
    handler = answered(400, **MISSING, headers={"idempotent-replayed": "true"})
    with pytest.raises(StripeMissing) as caught:
        await api(handler).create_portal("cus_1", return_url="https://app.example.org")
    failed = caught.value
    assert (failed.stripe_status, failed.param, failed.stripe_request) == (400, "customer", "req_1")
    assert failed.was_replayed
    assert str(failed) == "Stripe has no such object (400 no)"


def test_meaning_knows_every_error_of_the_sdk() -> None:
    """Every error class of the SDK becomes a StripeFailed, also one that a new version adds."""
    kinds = [
        kind for kind in vars(stripe_errors).values() if isinstance(kind, type) and issubclass(kind, stripe.StripeError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        made = kind.__new__(kind)
        stripe.StripeError.__init__(made, "said")
        assert isinstance(meaning(made), StripeFailed)


async def test_request_ends_with_its_time() -> None:
    """A call that Stripe does not answer raises StripeSilent before the request's own time ends."""

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    http = httpx.AsyncClient(transport=httpx.MockTransport(never))
    asking = StripeApi(BILLING, http, sleep=no_wait, time_left_s=lambda: 1.5)
    async with asyncio.timeout(1):  # the 1.5 s left are reserved for the work after the call
        with pytest.raises(StripeSilent, match="did not answer in time"):
            await asking.create_portal("cus_1", return_url="https://app.example.org")


@pytest.mark.parametrize(
    ("handler", "level"),
    [(answered(400, **MISSING), "INFO"), (answered(400), "ERROR"), (raises(httpx.ConnectError), "ERROR")],
    ids=["missing", "refused", "unreached"],
)
async def test_failure_is_an_error_unless_an_object_is_missing(
    handler: Callable[[httpx.Request], httpx.Response], level: str
) -> None:
    """An alarm counts errors, and a customer that was deleted at Stripe is none."""
    with kept_logs() as logs, pytest.raises(StripeFailed):
        await api(handler).create_portal("cus_1", return_url="https://app.example.org")
    assert [line["level"] for line in logs.lines] == [level]


async def test_repeats_keep_their_idempotency_key() -> None:
    """Three sendings of a request have one key, and make one customer."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    network = StripeTransport(fake, fault=lambda sent: StripeFault.LOST if sent < 2 else None)
    made = await stripe_at(network)().create_customer("u", "ada@example.org", key="one")
    assert list(fake.objects.customers) == [made]
    assert [call.key for call in fake.calls] == ["one"] * 3


async def test_every_change_has_an_idempotency_key() -> None:
    """Every changing request has a key of ours, also those for which the SDK would make one."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    asking = stripe_at(StripeTransport(fake))()
    customer = await asking.create_customer("u", "ada@example.org", key="one")
    await asking.create_portal(customer, return_url="https://app.example.org")
    await asking.create_checkout(
        customer=customer, user_id="u", price="price_pro", success_url="https://a.org", cancel_url="https://a.org"
    )
    keys = [call.key for call in fake.calls]
    assert all(keys)
    assert len(set(keys)) == 3


async def test_all_open_checkouts_of_a_customer_are_expired() -> None:
    """The list spans several pages. A session that stayed open could be paid after its account was closed."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    customer = fake.objects.make_customer(email="ada@example.org", metadata={})["id"]
    for _ in range(PAGE + 1):
        fake.objects.make_session({"customer": customer, "success_url": "", "line_items": {"0": {"price": PRO}}})
    await stripe_at(StripeTransport(fake))().expire_checkouts(customer)
    assert {session["status"] for session in fake.objects.sessions.values()} == {"expired"}


async def test_subscriptions_are_all_that_a_customer_ever_had() -> None:
    """The list spans several pages and includes subscriptions that have ended."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    customer = fake.objects.make_customer(email="ada@example.org", metadata={})["id"]
    made = [fake.objects.subscribe(customer, PRO, status=status) for status in ["canceled", "active"] * 76]
    found = [one.id for one in await stripe_at(StripeTransport(fake))().subscriptions(customer)]
    assert sorted(found) == sorted(made)


async def test_customers_of_a_user_are_the_oldest_first() -> None:
    """The order lets containers that see two agree on one. Another user's customer at the address is left out."""
    times = iter(range(1_772_452_800, 1_772_452_900))
    fake = FakeStripe(now=lambda: float(next(times)))
    make = fake.objects.make_customer
    made = [make(email="ada@example.org", metadata={"user_id": user})["id"] for user in ("u", "other", "u")]
    assert await stripe_at(StripeTransport(fake))().customers("u", "ada@example.org") == [made[0], made[2]]


@pytest.mark.parametrize("ends", [{"cancel_at_period_end": True}, {"cancel_at": 1_772_500_000}])
async def test_subscription_that_ends_already_is_left_alone(ends: dict[str, Any]) -> None:
    """If it ends by the flag, or at a time that the portal set, no request changes it."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    customer = fake.objects.make_customer(email="ada@example.org", metadata={})["id"]
    fake.objects.change(fake.objects.subscribe(customer, PRO), **ends)
    asking = stripe_at(StripeTransport(fake))()
    (subscription,) = await asking.subscriptions(customer)
    await asking.end_with_period(subscription)
    assert len(fake.calls) == 1


async def test_subscription_that_ends_later_ends_with_its_period() -> None:
    """A time after the period's end, as an operator sets, does not suffice: the next period would be paid for."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    customer = fake.objects.make_customer(email="ada@example.org", metadata={})["id"]
    one = fake.objects.subscribe(customer, PRO)
    fake.objects.change(one, cancel_at=1_800_000_000)
    asking = stripe_at(StripeTransport(fake))()
    (subscription,) = await asking.subscriptions(customer)
    await asking.end_with_period(subscription)
    assert fake.objects.subscription(one)["cancel_at_period_end"] is True


async def test_client_pins_the_version_that_the_fake_speaks() -> None:
    """The tested version is the requested one, and the SDK's own."""
    assert PINNED == VERSION == stripe.api_version


async def test_requests_are_timed() -> None:
    """The request's statistics contain the time of each call, for the metric."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    with request_stats.collected() as spent:
        await stripe_at(StripeTransport(fake))().customers("u", "ada@example.org")
    assert len(spent.stripe_ms) == 1


def test_sdk_sends_no_telemetry() -> None:
    """Telemetry would write an id into a file below the home, which is not writable in Lambda."""
    assert stripe.enable_telemetry is False


def test_failure_keeps_a_bounded_text() -> None:
    """An error keeps 300 characters of Stripe's text, which may repeat the request."""
    said = "x" * 299 + "yz"
    assert str(StripeRefused("refused it", stripe_status=400, said=said)) == f"Stripe refused it (400 {said[:-1]})"


async def test_connection_opens_stripe_once_and_closes_it() -> None:
    """The connection opens at its first use. One that was never opened is not closed."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(answered(400)))
    opened: list[StripeApi] = []

    def open_stripe() -> StripeApi:
        opened.append(StripeApi(BILLING, http))
        return opened[-1]

    connection = StripeConnection(open_stripe)
    await connection.close()
    assert opened == []
    assert connection.api is connection.api is opened[0]
    await connection.close()
    assert (len(opened), http.is_closed) == (1, True)


async def test_opener_opens_the_stripe_of_its_settings() -> None:
    opened = stripe_opener(BILLING)()
    assert isinstance(opened, StripeApi)
    await opened.aclose()
