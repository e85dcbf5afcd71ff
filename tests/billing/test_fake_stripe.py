"""The tests' imitation of Stripe, driven by the official SDK over its own httpx client and a socket."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import stripe
import uvicorn
from stripe import StripeClient
from stripe.params.checkout import SessionCreateParams

from tests.fakes.stripe_server import ENTERPRISE, KEY, PRO, VERSION, FakeStripe

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # the SDK passes httpx `data`

SUCCESS: Final = "https://app.example.org/"


class _Served:
    """The fake as an ASGI application."""

    def __init__(self, fake: FakeStripe) -> None:
        self._fake = fake

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        url = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        answer = self._fake.answer(scope["method"], url, headers, body)
        raw = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})


@contextmanager
def served(fake: FakeStripe) -> Iterator[str]:
    """Serve the fake on a port of this machine, and yield its address."""
    config = uvicorn.Config(_Served(fake), host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def driven(
    play: Callable[[StripeClient, FakeStripe], Awaitable[None]], *, key: str = KEY, version: str = VERSION
) -> FakeStripe:
    """Run `play` with the official SDK, over its own httpx client and a socket."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)

    async def with_client(address: str) -> None:
        over_httpx = stripe.HTTPXClient()
        client = StripeClient(
            key,
            stripe_version=version,
            base_addresses={"api": address},
            http_client=over_httpx,
            max_network_retries=0,
        )
        try:
            await play(client, fake)
        finally:
            await over_httpx.close_async()  # type: ignore[no-untyped-call]

    with served(fake) as address:
        asyncio.run(with_client(address))
    return fake


async def a_customer(client: StripeClient, *, key: str = "k", email: str = "ada@example.org") -> str:
    made = await client.v1.customers.create_async(
        {"email": email, "metadata": {"user_id": "u"}}, {"idempotency_key": key}
    )
    return made.id


def session_for(customer: str, price: str = PRO) -> SessionCreateParams:
    return {
        "mode": "subscription",
        "customer": customer,
        "line_items": [{"price": price, "quantity": 1}],
        "success_url": SUCCESS,
    }


def test_fake_sells_a_subscription_to_the_sdk() -> None:
    """The SDK makes a customer, sells, lists, changes and ends a subscription, and each step has its event."""

    async def play(client: StripeClient, fake: FakeStripe) -> None:
        customer = await a_customer(client)
        session = await client.v1.checkout.sessions.create_async(session_for(customer))
        assert (session.status, session.payment_status) == ("open", "unpaid")
        assert session.url is not None
        bought = fake.objects.pay(session.id)
        (one,) = (await client.v1.subscriptions.list_async({"customer": customer})).data
        assert (one.id, one.status, one.cancel_at_period_end) == (bought, "active", False)
        (item,) = one["items"].data
        assert (item.price.id, item.current_period_end - item.current_period_start) == (PRO, 30 * 86_400)
        assert "current_period_end" not in one.to_dict()
        changed = await client.v1.subscriptions.update_async(bought, {"cancel_at_period_end": True})
        assert (changed.cancel_at_period_end, changed.cancel_at) == (True, item.current_period_end)
        assert (await client.v1.subscriptions.cancel_async(bought)).status == "canceled"
        assert (await client.v1.subscriptions.list_async({"customer": customer})).data == []
        assert len((await client.v1.subscriptions.list_async({"customer": customer, "status": "all"})).data) == 1

    kinds = [event["type"] for event in driven(play).objects.events]
    assert kinds == [
        "customer.created",
        "customer.subscription.created",
        "customer.subscription.updated",
        "invoice.paid",
        "checkout.session.completed",
        "customer.subscription.updated",
        "customer.subscription.deleted",
    ]


def test_fake_opens_the_portal_and_expires_sessions() -> None:
    """The portal opens for a customer. An open session is listed, and can be expired once."""

    async def play(client: StripeClient, _: FakeStripe) -> None:
        customer = await a_customer(client)
        portal = await client.v1.billing_portal.sessions.create_async({"customer": customer})
        assert portal.url.startswith("https://billing.stripe.com/")
        session = await client.v1.checkout.sessions.create_async(session_for(customer))
        assert len((await client.v1.checkout.sessions.list_async({"customer": customer, "status": "open"})).data) == 1
        assert (await client.v1.checkout.sessions.expire_async(session.id)).status == "expired"
        with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
            await client.v1.checkout.sessions.expire_async(session.id)

    driven(play)


def test_fake_repeats_what_a_key_was_answered() -> None:
    """Equal parameters get the first answer, failures too; different ones are refused."""

    async def play(client: StripeClient, fake: FakeStripe) -> None:
        assert await a_customer(client) == await a_customer(client)
        assert len(fake.objects.customers) == 1
        with pytest.raises(stripe.IdempotencyError):
            await a_customer(client, email="bob@example.org")
        headers = {"authorization": f"Bearer {KEY}", "stripe-version": VERSION, "idempotency-key": "stuck"}
        form = {"content-type": "application/x-www-form-urlencoded"}
        body = b"email=ada%40example.org&metadata[user_id]=u"
        assert fake.answer("POST", "/v1/customers", headers | form, body, fails=True).status == 500
        with pytest.raises(stripe.APIError) as caught:
            await a_customer(client, key="stuck")
        assert (caught.value.http_status, (caught.value.headers or {}).get("idempotent-replayed")) == (500, "true")
        fake.under_way.add("busy")
        with pytest.raises(stripe.StripeError) as busy:
            await a_customer(client, key="busy")
        assert busy.value.http_status == 409

    driven(play)


def test_fake_lists_by_pages() -> None:
    """A list is newest first, contains at most 100, and continues after an id."""

    async def play(client: StripeClient, fake: FakeStripe) -> None:
        customer = await a_customer(client)
        made = [fake.objects.subscribe(customer, PRO) for _ in range(5)]
        page = await client.v1.subscriptions.list_async({"customer": customer, "limit": 2})
        assert ([one.id for one in page.data], page.has_more) == (made[:-3:-1], True)
        after = await client.v1.subscriptions.list_async({"customer": customer, "limit": 4, "starting_after": made[3]})
        assert ([one.id for one in after.data], after.has_more) == (made[2::-1], False)
        with pytest.raises(stripe.InvalidRequestError):
            await client.v1.subscriptions.list_async({"customer": customer, "limit": 101})

    driven(play)


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (lambda client: client.v1.customers.create_async({"name": "Ada"}), "unknown parameter: name"),
        (lambda client: client.v1.customers.retrieve_async("cus_1"), "Unrecognized request URL"),
        (lambda client: client.v1.subscriptions.list_async({"customer": "cus_1"}), "No such customer"),
        (lambda client: client.v1.subscriptions.cancel_async("sub_1"), "No such subscription"),
        (lambda client: client.v1.checkout.sessions.create_async({"mode": "payment"}), "Invalid mode"),
        (lambda client: client.v1.checkout.sessions.create_async({"mode": "subscription"}), "Missing required param"),
        (
            lambda client: client.v1.checkout.sessions.create_async(session_for("cus_1", "price_other")),
            "No such price",
        ),
        (lambda client: client.v1.checkout.sessions.create_async(session_for("cus_1")), "No such customer"),
    ],
)
def test_fake_refuses_what_stripe_refuses(asked: Callable[[StripeClient], Awaitable[object]], refusal: str) -> None:
    """Unknown parameters and endpoints, missing objects and incomplete requests are refused in Stripe's words."""

    async def play(client: StripeClient, _: FakeStripe) -> None:
        with pytest.raises(stripe.InvalidRequestError, match=refusal):
            await asked(client)

    driven(play)


def test_fake_refuses_both_ways_to_end_at_once() -> None:
    """Stripe takes `cancel_at` or the flag; an ended subscription takes neither, and ends once."""

    async def play(client: StripeClient, fake: FakeStripe) -> None:
        one = fake.objects.subscribe(await a_customer(client), ENTERPRISE)
        with pytest.raises(stripe.InvalidRequestError, match="Received both"):
            await client.v1.subscriptions.update_async(one, {"cancel_at_period_end": False, "cancel_at": ""})
        await client.v1.subscriptions.cancel_async(one)
        with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
            await client.v1.subscriptions.update_async(one, {"cancel_at_period_end": True})
        with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
            await client.v1.subscriptions.cancel_async(one)

    driven(play)


def test_fake_refuses_other_keys_and_versions() -> None:
    """A wrong key and another version of the API are refused, and no call is recorded."""

    async def play(client: StripeClient, _: FakeStripe) -> None:
        with pytest.raises((stripe.AuthenticationError, stripe.InvalidRequestError)):
            await a_customer(client)

    assert driven(play, key="sk_test_other").calls == []
    assert driven(play, version="2025-01-27.acacia").calls == []


def test_fake_signs_as_the_sdk_checks() -> None:
    """The SDK accepts a signature under the second of two secrets, and refuses it for a changed body."""
    fake = FakeStripe(now=lambda: 1_772_452_800.0)
    fake.objects.make_customer(email="é@example.org", metadata={})
    body, header = fake.signed(fake.objects.events[0], secrets=["whsec_old", "whsec_new"])
    assert stripe.WebhookSignature.verify_header(body, header, "whsec_new") is True
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body + b" ", header, "whsec_new")
