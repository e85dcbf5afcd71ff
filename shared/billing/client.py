"""Stripe, by its official SDK: one funnel with one deadline, and a method for each request that billing needs.

The SDK takes up to a second to import, so `opening` imports this module before the first request to Stripe.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import httpx
import stripe
from stripe import StripeClient

from shared.billing.standing import StripeSubscription
from shared.billing.stripe_errors import (
    StripeBroke,
    StripeBusy,
    StripeFailed,
    StripeMissing,
    StripeRefused,
    StripeSilent,
)
from shared.core.billing_settings import BillingSettings
from shared.core.request import time_left_s
from shared.observability import request_stats

if TYPE_CHECKING:
    from stripe.params import SubscriptionListParams  # a hundred modules, which are not packed
    from stripe.params.checkout import SessionListParams

VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API whose answers `standing` reads. Events have the version of their endpoint."""

TIMEOUT_S: Final = 7.0
"""Seconds that one call may take with its repeats. A request has 12, of which the store needs the rest."""

KEPT_S: Final = 1.5
"""Seconds of the request's time that a call leaves for the steps after it."""

RETRIES: Final = 2
"""Repeats of a request by the SDK, with the same idempotency key, after 0.5 s and 1 s: without an answer, and after 409
or 5xx."""

PAGE: Final = 100
"""Objects of one page of a list, the most that Stripe returns."""

stripe.enable_telemetry = False  # else the SDK writes an id below the home, and describes the machine to Stripe

_log = logging.getLogger("agent_talk.stripe")

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class CheckoutSession:
    id: str
    url: str


class _OverHttpx(stripe.HTTPClient):
    """Sends the SDK's requests over our own client, whose connections survive a freeze."""

    name = "httpx"

    def __init__(self, http: httpx.AsyncClient, sleep: Sleep) -> None:
        super().__init__()
        self._http = http
        self._sleep = sleep

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._http.request(
                method, url, headers=dict(headers), content=post_data, timeout=TIMEOUT_S, follow_redirects=False
            )
        except httpx.HTTPError as exc:
            unanswered = stripe.APIConnectionError(type(exc).__name__, should_retry=True)  # type: ignore[no-untyped-call]
            raise unanswered from exc
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: float) -> Awaitable[None]:
        return self._sleep(secs)


class StripeApi:
    """One Stripe account. `http` is from `http_connections.http_client()`; `aclose` closes it.

    Every call ends within TIMEOUT_S and within the time of its request. Each raises StripeFailed.
    """

    def __init__(
        self,
        settings: BillingSettings,
        http: httpx.AsyncClient,
        *,
        sleep: Sleep = asyncio.sleep,
        time_left_s: Callable[[], float] = time_left_s,
    ) -> None:
        self._http = http
        self._time_left_s = time_left_s
        self._client = StripeClient(
            settings.secret_key,
            stripe_version=VERSION,
            base_addresses={"api": settings.url},
            max_network_retries=RETRIES,
            http_client=_OverHttpx(http, sleep),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def subscriptions(self, customer: str) -> list[StripeSubscription]:
        """Return all subscriptions of a customer, ended ones too; empty if the customer is absent."""
        found: list[StripeSubscription] = []
        asked: SubscriptionListParams = {"customer": customer, "status": "all", "limit": PAGE}
        while True:
            try:
                page = await self._request("list subscriptions", self._client.v1.subscriptions.list_async(asked))
            except StripeMissing:
                return []
            found += [StripeSubscription.read(one.to_dict()) for one in page.data]
            if not page.has_more:
                return found
            asked["starting_after"] = found[-1].id

    async def customers(self, user_id: str, email: str) -> list[str]:
        """Return the ids of the customers made for this user, oldest first. Deleted ones are left out."""
        page = await self._request(
            "list customers", self._client.v1.customers.list_async({"email": email, "limit": PAGE})
        )
        mine = [
            one for one in page.data if one.metadata is not None and one.metadata.to_dict().get("user_id") == user_id
        ]
        return [one.id for one in sorted(mine, key=lambda one: (one.created, one.id))]

    async def create_customer(self, user_id: str, email: str, *, key: str) -> str:
        """Make a customer and return its id. A repeat with the same `key` within a day returns the same one."""
        made = await self._request(
            "create a customer",
            self._client.v1.customers.create_async(
                {"email": email, "metadata": {"user_id": user_id}}, {"idempotency_key": key}
            ),
        )
        return made.id

    async def create_checkout(
        self, *, customer: str, user_id: str, price: str, success_url: str, cancel_url: str
    ) -> CheckoutSession:
        made = await self._request(
            "create a checkout session",
            self._client.v1.checkout.sessions.create_async(
                {
                    "mode": "subscription",
                    "customer": customer,
                    "client_reference_id": user_id,
                    "line_items": [{"price": price, "quantity": 1}],
                    "success_url": success_url,
                    "cancel_url": cancel_url,
                }
            ),
        )
        assert made.url is not None, "an open session has an address"
        return CheckoutSession(id=made.id, url=made.url)

    async def expire_checkouts(self, customer: str) -> None:
        """Expire all open checkout sessions of a customer, so that none can be paid."""
        sessions: list[str] = []
        asked: SessionListParams = {"customer": customer, "status": "open", "limit": PAGE}
        while True:
            try:
                page = await self._request(
                    "list checkout sessions", self._client.v1.checkout.sessions.list_async(asked)
                )
            except StripeMissing:
                return
            sessions += [session.id for session in page.data]
            if not page.has_more:
                break
            asked["starting_after"] = sessions[-1]
        for session in sessions:
            await self._request("expire a checkout session", self._client.v1.checkout.sessions.expire_async(session))

    async def create_portal(self, customer: str, *, return_url: str) -> str:
        made = await self._request(
            "create a portal session",
            self._client.v1.billing_portal.sessions.create_async({"customer": customer, "return_url": return_url}),
        )
        return made.url

    async def end_with_period(self, subscription: StripeSubscription) -> None:
        """Let a subscription end with its paid period, unless it ends by then already."""
        if not subscription.ends_with_period:
            await self._update(subscription, {"cancel_at_period_end": True})

    async def keep(self, subscription: StripeSubscription) -> None:
        """Keep a subscription that is to end. Stripe accepts one of the two ways to end it per request."""
        if subscription.cancel_at_period_end:
            await self._update(subscription, {"cancel_at_period_end": False})
        elif subscription.cancel_at is not None:
            await self._update(subscription, {"cancel_at": ""})

    async def cancel(self, subscription_id: str) -> None:
        """End a subscription at once. One that has ended already is no error."""
        try:
            await self._request("cancel a subscription", self._client.v1.subscriptions.cancel_async(subscription_id))
        except StripeMissing:
            _log.info("a subscription was cancelled already", extra={"subscription_id": subscription_id})

    async def _update(self, subscription: StripeSubscription, change: Mapping[str, Any]) -> None:
        await self._request(
            "change a subscription",
            self._client.v1.subscriptions.update_async(subscription.id, change),  # type: ignore[arg-type]
        )

    async def _request(self, what: str, call: Awaitable[T]) -> T:
        """Await a call of the SDK. Raises StripeFailed, after logging it with Stripe's id of the request."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(min(TIMEOUT_S, self._time_left_s() - KEPT_S)):
                return await call
        except TimeoutError as exc:
            _fail(what, StripeSilent("did not answer in time"), exc)
        except stripe.StripeError as exc:
            _fail(what, meaning(exc), exc)
        finally:
            request_stats.current().asked_stripe((time.perf_counter() - began) * 1000)


KINDS: Final[tuple[tuple[type[stripe.StripeError], type[StripeFailed], str], ...]] = (
    (stripe.APIConnectionError, StripeSilent, "could not be reached, or did not answer"),
    (stripe.RateLimitError, StripeBusy, "asks to wait"),
    (stripe.AuthenticationError, StripeRefused, "refused our key"),
    (stripe.PermissionError, StripeRefused, "does not let our key do this"),
    (stripe.IdempotencyError, StripeRefused, "got another request under the same idempotency key"),
    (stripe.CardError, StripeRefused, "refused the payment"),
    (stripe.InvalidRequestError, StripeRefused, "refused the request"),
    (stripe.APIError, StripeBroke, "failed"),
    (stripe.StripeError, StripeBroke, "failed in a way that its SDK has no name for"),
)
"""The meaning of each exception of the SDK. The first row that fits counts; `meaning` has the exceptions to it."""


def meaning(error: stripe.StripeError) -> StripeFailed:
    """Return the failure that an error of the SDK means."""
    kind, what = next((kind, what) for raised, kind, what in KINDS if isinstance(error, raised))
    if error.http_status == 409:
        kind, what = StripeBusy, "is changing the same object for another request"
    elif isinstance(error, stripe.InvalidRequestError) and (
        error.code == "resource_missing" or error.http_status == 404
    ):
        kind, what = StripeMissing, "has no such object"
    headers = error.headers or {}
    return kind(
        what,
        stripe_status=error.http_status,
        said=error.user_message or "",
        param=getattr(error, "param", None),
        stripe_request=headers.get("request-id"),
        was_replayed=headers.get("idempotent-replayed") == "true",
    )


def _fail(what: str, failed: StripeFailed, exc: Exception) -> NoReturn:
    level = logging.INFO if isinstance(failed, StripeMissing) else logging.ERROR
    _log.log(level, "could not %s: %s", what, failed, extra={"stripe_request": failed.stripe_request})
    raise failed from exc
