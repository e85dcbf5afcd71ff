"""What API Gateway sends: an HTTP API's events (payload 2.0), and a REST API's (1.0)."""

from typing import Any

from shared.web.middleware import Scope


def is_http(event: Any) -> bool:
    """Whether this is an event of an HTTP API or a REST API, and not of a schedule or a queue."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and ("http" in context or "httpMethod" in event)


def given_request_id(event: Any) -> str | None:
    """What the caller gave as the request's id, if the event is so far in order."""
    headers = event.get("headers") if isinstance(event, dict) else None
    given = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}
    return str(given["x-request-id"]) if "x-request-id" in given else None


def stage_of(scope: Scope) -> str | None:
    """The stage that begins the path of an HTTP API's event, unless it is the unnamed one."""
    event = scope.get("aws.event", {})
    stage = f"/{event.get('requestContext', {}).get('stage') or '$default'}"
    named = event.get("version") == "2.0" and stage != "/$default"
    return stage if named and f"{scope['path']}/".startswith(f"{stage}/") else None
