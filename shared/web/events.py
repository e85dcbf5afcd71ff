"""What API Gateway sends: an HTTP API's events (payload 2.0), and a REST API's (1.0).

Other senders give functions events of a similar form: an ALB's `requestContext` has `elb`, and its client address is a
header that the caller forges; an authorizer's has `type` and `methodArn` or `routeArn`, and grants access by its
answer. Only events in which API Gateway itself says who called are requests.
"""

from typing import Any, Final

from shared.web.middleware import Scope

_OTHERS: Final = ("type", "methodArn", "routeArn", "authorizationToken")
"""Fields of authorizers' events, which requests never have."""


def is_http(event: Any) -> bool:
    """Return whether this is a request that came through an HTTP API or a REST API."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(context, dict) or "elb" in context or any(field in event for field in _OTHERS):
        return False
    if event.get("version") == "2.0":
        return _has_source_ip(context.get("http"))
    return "resource" in event and "httpMethod" in event and _has_source_ip(context.get("identity"))


def normal_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event as Mangum reads it: no absent parts, and several Cookie headers as one.

    Mangum joins repeated headers by a comma, which separates no cookies.
    """
    normal = event | {name: event.get(name) or empty for name, empty in (("headers", {}), ("rawQueryString", ""))}
    repeated = event.get("multiValueHeaders")
    if isinstance(repeated, dict):
        joined = {
            name: ["; ".join(map(str, values))]
            if str(name).lower() == "cookie" and isinstance(values, list)
            else values
            for name, values in repeated.items()
        }
        normal["multiValueHeaders"] = joined
    return normal


def given_request_id(event: Any) -> str | None:
    """Return what the caller gave as the request's id; None if the event has no such header."""
    headers = event.get("headers") if isinstance(event, dict) else None
    given = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}
    return str(given["x-request-id"]) if "x-request-id" in given else None


def stage_of(scope: Scope) -> str | None:
    """Return the stage that begins the path of an HTTP API's event, as `/dev`; None for the unnamed stage."""
    event = scope.get("aws.event", {})
    stage = f"/{event.get('requestContext', {}).get('stage') or '$default'}"
    named = event.get("version") == "2.0" and stage != "/$default"
    return stage if named and f"{scope['path']}/".startswith(f"{stage}/") else None


def _has_source_ip(caller: Any) -> bool:
    return isinstance(caller, dict) and isinstance(caller.get("sourceIp"), str)
