"""A fake Stripe that answers requests: stateful, and strict where the real one is.

It accepts one version of the API, form encoding, and known parameters. It repeats its first answer under an idempotency
key, its own failures too, and refuses the key with other parameters or while the first request is in progress.
`tests/billing/test_fake_stripe.py` drives it by the official SDK.
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.stripe_objects import Json, NoSuchObject, StripeObjects

VERSION: Final = "2026-10-28.endive"
KEY: Final = "sk_test_of_tests"
WEBHOOK_SECRET: Final = "whsec_of_tests"
PRO: Final = "price_pro"
ENTERPRISE: Final = "price_enterprise"

PARAMS: Final[Mapping[str, frozenset[str]]] = {
    "POST customers": frozenset({"email", "metadata"}),
    "GET customers": frozenset({"email", "limit", "starting_after"}),
    "POST checkout/sessions": frozenset(
        {"mode", "customer", "client_reference_id", "line_items", "success_url", "cancel_url"}
    ),
    "GET checkout/sessions": frozenset({"customer", "status", "limit", "starting_after"}),
    "POST checkout/sessions/{}/expire": frozenset(),
    "POST billing_portal/sessions": frozenset({"customer", "return_url"}),
    "GET subscriptions": frozenset({"customer", "status", "limit", "starting_after"}),
    "POST subscriptions/{}": frozenset({"cancel_at_period_end", "cancel_at"}),
    "DELETE subscriptions/{}": frozenset(),
}
"""The endpoints, and the parameters of each: exactly those that billing sends."""

_PATHS: Final = {name: re.compile(name.replace("{}", r"([A-Za-z0-9_]+)")) for name in PARAMS}


@dataclass(frozen=True, kw_only=True)
class StripeAnswer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StripeCall:
    """A request, carried out or refused: its endpoint, as in `POST customers`, its parameters and idempotency key."""

    name: str
    params: Json
    key: str | None


class Refusal(Exception):
    def __init__(self, status: int, message: str, *, kind: str = "invalid_request_error", **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": kind, "message": message, **more}


class FakeStripe:
    """The fake. `deleted_are_missing`: lists of a deleted customer are refused; Stripe does not document whether."""

    def __init__(
        self, *, now: Callable[[], float], prices: Sequence[str] = (PRO, ENTERPRISE), deleted_are_missing: bool = False
    ) -> None:
        self.objects = StripeObjects(now=now, event_version=VERSION)
        self.prices = frozenset(prices)
        self.calls: list[StripeCall] = []
        self.under_way: set[str] = set()
        self._deleted_are_missing = deleted_are_missing
        self._kept: dict[str, tuple[Any, StripeAnswer]] = {}

    def forget_keys(self) -> None:
        """Let a day pass, after which Stripe has deleted all idempotency keys."""
        self._kept.clear()

    def signed(
        self, event: Json, *, secrets: Sequence[str] = (WEBHOOK_SECRET,), at: float | None = None, pretty: bool = True
    ) -> tuple[bytes, str]:
        """Return the body and the Stripe-Signature of a delivery. Real bodies are indented."""
        body = json.dumps(event, indent=2 if pretty else None, ensure_ascii=False).encode()
        time = int(self.objects.now() if at is None else at)
        made = [hmac.digest(secret.encode(), b"%d." % time + body, "sha256").hex() for secret in secrets]
        return body, ",".join([f"t={time}", *(f"v1={signature}" for signature in made), "v0=" + "0" * 64])

    def answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, fails: bool = False
    ) -> StripeAnswer:
        """Answer a request. `fails`: with 500 and without an effect; an idempotency key repeats the 500 too."""
        try:
            return self._answer(method, url, headers, body, fails=fails)
        except Refusal as refusal:
            return self._made(refusal.status, {"error": refusal.error})

    def _answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, fails: bool) -> StripeAnswer:
        if headers.get("authorization") != f"Bearer {KEY}":
            raise Refusal(401, "Invalid API Key provided: sk_test_***")
        if headers.get("stripe-version") != VERSION:
            raise Refusal(400, f"the tests' fake speaks {VERSION} alone, not {headers.get('stripe-version')}")
        if body and not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise Refusal(400, "check that your POST content type is application/x-www-form-urlencoded")
        name, object_id = _endpoint(method, urlsplit(url).path)
        params = _nested(body.decode() or urlsplit(url).query)
        for param in sorted(params.keys() - PARAMS[name]):
            raise Refusal(400, f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
        key = headers.get("idempotency-key") if method == "POST" else None
        self.calls.append(StripeCall(name=name, params=params, key=key))
        asked = (name, object_id, params)
        if key is not None and (kept := self._replayed(key, asked)):
            return kept
        if fails:
            made = self._made(500, {"error": {"type": "api_error", "message": "Something went wrong on Stripe's end"}})
        else:
            try:
                made = self._made(200, self._carry_out(name, object_id, params))
            except NoSuchObject as missing:
                status = 404 if missing.param == "id" else 400
                raise Refusal(status, str(missing), code="resource_missing", param=missing.param) from missing
        if key is not None:
            self._kept[key] = (asked, made)
        return made

    def _replayed(self, key: str, asked: Any) -> StripeAnswer | None:
        if key in self.under_way:
            raise Refusal(409, "There is currently another in-progress request", code="idempotency_key_in_use")
        if key not in self._kept:
            return None
        first, answer = self._kept[key]
        if first != asked:
            raise Refusal(400, "Keys can only be used with the same parameters", kind="idempotency_error")
        return StripeAnswer(
            status=answer.status, body=answer.body, headers={**answer.headers, "idempotent-replayed": "true"}
        )

    def _made(self, status: int, content: Json) -> StripeAnswer:
        headers = {"content-type": "application/json", "request-id": self.objects.new_id("req")}
        return StripeAnswer(status=status, body=json.dumps(content).encode(), headers=headers)

    def _carry_out(self, name: str, object_id: str, params: Json) -> Json:
        carried_out: dict[str, Callable[[], Json]] = {
            "POST customers": lambda: self.objects.make_customer(
                email=params.get("email"), metadata=params.get("metadata", {})
            ),
            "GET customers": lambda: _listed(
                [one for one in self._living() if one["email"] == params.get("email", one["email"])], params
            ),
            "POST checkout/sessions": lambda: _shown(self._check_out(params)),
            "GET checkout/sessions": lambda: _listed(self._sessions(params), params),
            "POST checkout/sessions/{}/expire": lambda: self._expire(object_id),
            "POST billing_portal/sessions": lambda: self._portal(params),
            "GET subscriptions": lambda: _listed(self._subscriptions(params), params),
            "POST subscriptions/{}": lambda: self._change(object_id, params),
            "DELETE subscriptions/{}": lambda: self._cancel(object_id),
        }
        return carried_out[name]()

    def _living(self) -> list[Json]:
        return [one for one in self.objects.customers.values() if not one.get("deleted")][::-1]

    def _check_customer(self, params: Json) -> None:
        self.objects.customer(params["customer"], param="customer")
        if self._deleted_are_missing:
            self.objects.living_customer(params["customer"])

    def _subscriptions(self, params: Json) -> list[Json]:
        self._check_customer(params)
        wanted = params.get("status")
        return [
            one
            for one in self.objects.of(params["customer"])
            if wanted in ("all", one["status"]) or (wanted is None and one["status"] != "canceled")
        ]

    def _sessions(self, params: Json) -> list[Json]:
        self._check_customer(params)
        mine = [one for one in self.objects.sessions.values() if one["customer"] == params["customer"]]
        return [_shown(one) for one in mine if one["status"] == params.get("status", one["status"])][::-1]

    def _check_out(self, params: Json) -> Json:
        if params.get("mode") != "subscription":
            raise Refusal(400, "Invalid mode", param="mode")
        for needed in ("success_url", "line_items"):
            if needed not in params:
                raise Refusal(400, f"Missing required param: {needed}", code="parameter_missing", param=needed)
        item = params["line_items"].get("0", {})
        if item.get("price") not in self.prices:
            raise Refusal(400, "No such price", code="resource_missing", param="line_items[0][price]")
        if item.get("quantity") != "1":
            raise Refusal(400, "Quantity is required", param="line_items[0][quantity]")
        self.objects.living_customer(params["customer"])
        return self.objects.make_session(params)

    def _expire(self, session_id: str) -> Json:
        if self.objects.session(session_id)["status"] != "open":
            raise Refusal(400, 'Only Checkout Sessions with a status in ["open"] can be expired')
        return _shown(self.objects.expire_session(session_id))

    def _portal(self, params: Json) -> Json:
        self.objects.living_customer(params["customer"])
        made = self.objects.new_id("bps")
        return {
            "id": made,
            "object": "billing_portal.session",
            "customer": params["customer"],
            "return_url": params.get("return_url"),
            "url": f"https://billing.stripe.com/p/session/{made}",
        }

    def _change(self, subscription_id: str, params: Json) -> Json:
        subscription = self.objects.subscription(subscription_id)
        if subscription["status"] in ("canceled", "incomplete_expired"):
            raise Refusal(400, "A canceled subscription can only update its cancellation_details and metadata.")
        if len(params) != 1:
            raise Refusal(400, "Received both cancel_at and cancel_at_period_end parameters, or neither.")
        if "cancel_at" in params:
            if params["cancel_at"] != "":
                raise Refusal(400, "the tests' fake only unsets cancel_at", param="cancel_at")
            self.objects.change(subscription_id, cancel_at=None, canceled_at=None)
            return subscription
        if params["cancel_at_period_end"] not in ("true", "false"):
            raise Refusal(400, "Invalid boolean", param="cancel_at_period_end")
        ends = params["cancel_at_period_end"] == "true"
        end = subscription["items"]["data"][0]["current_period_end"]
        self.objects.change(subscription_id, cancel_at_period_end=ends, cancel_at=end if ends else None)
        return subscription

    def _cancel(self, subscription_id: str) -> Json:
        if self.objects.subscription(subscription_id)["status"] in ("canceled", "incomplete_expired"):
            raise NoSuchObject("subscription", subscription_id, "id")
        return self.objects.end(subscription_id)


def _endpoint(method: str, path: str) -> tuple[str, str]:
    for name, pattern in _PATHS.items():
        found = pattern.fullmatch(f"{method} {path.removeprefix('/v1/')}")
        if found:
            return name, found[1] if found.groups() else ""
    raise Refusal(404, f"Unrecognized request URL ({method}: {path})")


def _listed(rows: list[Json], params: Json) -> Json:
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= 100:
        raise Refusal(400, "This value must be between 1 and 100", param="limit")
    after = params.get("starting_after")
    begin = 0 if after is None else next(n for n, row in enumerate(rows) if row["id"] == after) + 1
    page = rows[begin : begin + limit]
    return {"object": "list", "data": page, "has_more": len(rows) > begin + limit, "url": "/v1/…"}


def _shown(session: Json) -> Json:
    return {name: value for name, value in session.items() if name != "price"}


def _nested(encoded: str) -> Json:
    """Parse a form: `line_items[0][price]=…` → {"line_items": {"0": {"price": …}}}."""
    read: Json = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        *outer, last = re.findall(r"[^\[\]]+", name)
        place = read
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return read
