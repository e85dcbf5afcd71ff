"""Stripe's events. Each is only a hint that a customer changed: nothing of its content but the customer's id counts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.core.errors import ValidationFailed

_TELLING: Final = ("customer.subscription.", "customer.deleted", "checkout.session.", "invoice.pa")
"""The prefixes of event types after which a plan may differ, such as `invoice.paid`, `invoice.payment_failed`."""


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A read event. `customer` of None: it names none, or its type changes no plan."""

    event_id: str
    event_type: str
    customer: str | None


def read_event(body: bytes) -> Hint:
    """Read a signed event, of any version of the API. Raises ValidationFailed if it is no event."""
    try:
        event: Any = json.loads(body.decode())
        event_id, event_type, subject = event["id"], event["type"], event["data"]["object"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ValidationFailed("The body is not an event of Stripe") from exc
    if not (isinstance(event_id, str) and isinstance(event_type, str) and isinstance(subject, dict)):
        raise ValidationFailed("The body is not an event of Stripe")
    telling = event_type.startswith(_TELLING)
    return Hint(event_id=event_id, event_type=event_type, customer=_customer(subject) if telling else None)


def _customer(subject: Mapping[str, Any]) -> str | None:
    """Return the id of an object's customer, also if that is expanded. None: it has no customer."""
    customer = subject.get("id") if subject.get("object") == "customer" else subject.get("customer")
    if isinstance(customer, dict):
        customer = customer.get("id")
    return customer if isinstance(customer, str) else None
