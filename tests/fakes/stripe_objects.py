"""The objects of a fake Stripe, in the shapes of 2025-03-31 and later, and their changes by customers and time.

It delivers nothing: `events` contains all events, oldest first. A test decides which of them arrive, when, how often
and in which order. The order of `events` is invented, since Stripe promises none.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

MONTH_S: Final = 30 * 86_400
Json = dict[str, Any]


class NoSuchObject(Exception):
    """The object does not exist. `param` is the request's parameter with its id."""

    def __init__(self, what: str, object_id: str, param: str) -> None:
        super().__init__(f"No such {what}: '{object_id}'")
        self.param = param


class StripeObjects:
    def __init__(self, *, now: Callable[[], float], event_version: str) -> None:
        self.now = now
        self.event_version = event_version
        self.customers: dict[str, Json] = {}
        self.subscriptions: dict[str, Json] = {}
        self.sessions: dict[str, Json] = {}
        self.events: list[Json] = []
        self.invents_customers = False
        self._numbers = itertools.count(1)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):014d}"

    def customer(self, customer_id: str, *, param: str = "id") -> Json:
        """Return an existing or deleted customer. Raises NoSuchObject."""
        if customer_id not in self.customers:
            raise NoSuchObject("customer", customer_id, param)
        return self.customers[customer_id]

    def living_customer(self, customer_id: str) -> Json:
        found = self.customer(customer_id, param="customer")
        if found.get("deleted"):
            raise NoSuchObject("customer", customer_id, "customer")
        return found

    def make_customer(self, *, email: str | None, metadata: Mapping[str, str]) -> Json:
        made: Json = {
            "id": self.new_id("cus"),
            "object": "customer",
            "created": int(self.now()),
            "email": email,
            "metadata": dict(metadata),
            "livemode": False,
        }
        self.customers[made["id"]] = made
        self._emit("customer.created", made)
        return made

    def delete_customer(self, customer_id: str) -> None:
        """Delete a customer, which ends all subscriptions immediately and voids the open sessions."""
        gone = self.living_customer(customer_id)
        for subscription in self.of(customer_id):
            if subscription["status"] not in ("canceled", "incomplete_expired"):
                self.end(subscription["id"])
        self.customers[customer_id] = {"id": customer_id, "object": "customer", "deleted": True}
        self._emit("customer.deleted", gone)

    def of(self, customer_id: str) -> list[Json]:
        """Return the subscriptions of a customer, newest first, as Stripe's lists are."""
        mine = [one for one in self.subscriptions.values() if one["customer"] == customer_id]
        return mine[::-1]

    def make_session(self, params: Json) -> Json:
        session_id = self.new_id("cs_test")
        made = {
            "id": session_id,
            "object": "checkout.session",
            "created": int(self.now()),
            "mode": "subscription",
            "status": "open",
            "payment_status": "unpaid",
            "customer": params["customer"],
            "client_reference_id": params.get("client_reference_id"),
            "subscription": None,
            "success_url": params["success_url"],
            "cancel_url": params.get("cancel_url"),
            "url": f"https://checkout.stripe.com/c/pay/{session_id}",
            "metadata": {},
            "livemode": False,
            "price": params["line_items"]["0"]["price"],
        }
        self.sessions[session_id] = made
        return made

    def expire_session(self, session_id: str) -> Json:
        session = self.session(session_id)
        session.update(status="expired", url=None)
        self._emit("checkout.session.expired", session)
        return session

    def session(self, session_id: str) -> Json:
        if session_id not in self.sessions:
            raise NoSuchObject("checkout.session", session_id, "id")
        return self.sessions[session_id]

    def pay(self, session_id: str, *, paid: bool = True, metadata: Mapping[str, str] | None = None) -> str:
        """Complete a checkout, and return the subscription. Not `paid`: the bank requires a confirmation."""
        session = self.session(session_id)
        assert session["status"] == "open", session["status"]
        self.living_customer(session["customer"])
        made = self.subscribe(
            session["customer"], session["price"], status="incomplete", metadata=metadata, announced=True
        )
        if paid:
            self.become(made, "active")
            self._invoice(made, "invoice.paid")
        session.update(status="complete", payment_status="paid" if paid else "unpaid", subscription=made, url=None)
        self._emit("checkout.session.completed", session)
        return made

    def subscribe(
        self,
        customer_id: str,
        price: str,
        *,
        status: str = "active",
        metadata: Mapping[str, str] | None = None,
        announced: bool = True,
    ) -> str:
        """Make a subscription, as a checkout or Stripe's dashboard does. Returns its id."""
        now = int(self.now())
        made: Json = {
            "id": self.new_id("sub"),
            "object": "subscription",
            "created": now,
            "customer": customer_id,
            "status": status,
            "cancel_at_period_end": False,
            "cancel_at": None,
            "canceled_at": None,
            "ended_at": None,
            "items": {
                "object": "list",
                "data": [
                    {
                        "id": self.new_id("si"),
                        "object": "subscription_item",
                        "price": {"id": price, "object": "price"},
                        "quantity": 1,
                        "current_period_start": now,
                        "current_period_end": now + MONTH_S,
                    }
                ],
                "has_more": False,
                "url": "/v1/subscription_items",
            },
            "latest_invoice": None,
            "metadata": dict(metadata or {}),
            "livemode": False,
        }
        self.subscriptions[made["id"]] = made
        if announced:
            self._emit("customer.subscription.created", made)
        return str(made["id"])

    def subscription(self, subscription_id: str) -> Json:
        if subscription_id not in self.subscriptions:
            raise NoSuchObject("subscription", subscription_id, "id")
        return self.subscriptions[subscription_id]

    def become(self, subscription_id: str, status: str) -> None:
        self.change(subscription_id, status=status)

    def change(self, subscription_id: str, **fields: Any) -> None:
        """Set fields of a subscription, without the API's checks."""
        subscription = self.subscription(subscription_id)
        subscription.update(fields)
        self._emit("customer.subscription.updated", subscription)

    def reprice(self, subscription_id: str, price: str) -> None:
        """Change the price, as an owner does in the portal if it offers other plans."""
        self.subscription(subscription_id)["items"]["data"][0]["price"]["id"] = price
        self._emit("customer.subscription.updated", self.subscription(subscription_id))

    def end(self, subscription_id: str) -> Json:
        subscription = self.subscription(subscription_id)
        now = int(self.now())
        subscription.update(status="canceled", canceled_at=now, ended_at=now)
        self._emit("customer.subscription.deleted", subscription)
        return subscription

    def renew(self, subscription_id: str, *, pays: bool = True) -> None:
        """Begin the next period, or end a subscription that was cancelled for the end of this one."""
        subscription = self.subscription(subscription_id)
        if subscription["cancel_at_period_end"] or subscription["cancel_at"] is not None:
            self.end(subscription_id)
            return
        item = subscription["items"]["data"][0]
        item.update(
            current_period_start=item["current_period_end"], current_period_end=item["current_period_end"] + MONTH_S
        )
        self.become(subscription_id, "active" if pays else "past_due")
        self._invoice(subscription_id, "invoice.paid" if pays else "invoice.payment_failed")

    def recover(self, subscription_id: str) -> None:
        """Pay a `past_due` subscription: the card works again."""
        self.become(subscription_id, "active")
        self._invoice(subscription_id, "invoice.paid")

    def _invoice(self, subscription_id: str, kind: str) -> None:
        subscription = self.subscription(subscription_id)
        invoice = {
            "id": self.new_id("in"),
            "object": "invoice",
            "customer": subscription["customer"],
            "parent": {
                "type": "subscription_details",
                "subscription_details": {"subscription": subscription_id, "metadata": subscription["metadata"]},
            },
            "status": "paid" if kind == "invoice.paid" else "open",
        }
        subscription["latest_invoice"] = invoice["id"]
        self._emit(kind, invoice)

    def _emit(self, kind: str, subject: Mapping[str, Any]) -> None:
        shown = {
            name: value for name, value in subject.items() if subject["object"] != "checkout.session" or name != "price"
        }
        self.events.append(
            {
                "id": self.new_id("evt"),
                "object": "event",
                "api_version": self.event_version,
                "created": int(self.now()),
                "type": kind,
                "data": {"object": json.loads(json.dumps(shown))},
                "livemode": False,
                "pending_webhooks": 1,
            }
        )
