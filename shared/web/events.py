"""API Gateway's events: an HTTP API's (payload 2.0), and a REST API's (1.0).

Other senders' events have a similar form: an ALB's `requestContext` has `elb`, and its client address is a header that
the caller can forge; an authorizer's event has `type` and `methodArn` or `routeArn`, and its answer grants access. Only
events in which API Gateway itself names the client's address are requests.
"""

import re
from typing import Any, Final
from urllib.parse import unquote

from shared.web.middleware import Scope

_OTHERS: Final = ("type", "methodArn", "routeArn", "authorizationToken")
"""Fields of authorizers' events, which requests never have."""

_SERVER_HEADERS: Final = ("host", "x-forwarded-port")

_PARAMETER: Final = re.compile(r"\{(\w+)\+?\}")
"""A parameter of a gateway's route: `{memo_id}`, or `{proxy+}` for several segments."""

HOST_FIELD: Final = "agent_talk.host"
"""The key under which an event keeps its host while Mangum reads it."""


def is_http(event: Any) -> bool:
    """Return whether this is a request that came through an HTTP API or a REST API."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(context, dict) or "elb" in context or any(field in event for field in _OTHERS):
        return False
    if event.get("version") == "2.0":
        return _has_source_ip(context.get("http"))
    return "resource" in event and "httpMethod" in event and _has_source_ip(context.get("identity"))


def normal_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event in a form that Mangum reads.

    No part is absent, and several Cookie headers are one. Mangum joins repeated headers by a comma, which does not
    separate cookies.
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
    """Return the caller's `X-Request-Id`; None: the event has no such header."""
    headers = event.get("headers") if isinstance(event, dict) else None
    given = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}
    return str(given["x-request-id"]) if "x-request-id" in given else None


def without_server(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event without the headers that name the server.

    The host is kept under HOST_FIELD. Mangum parses both as a name and a number, and fails for `443,80` or an IPv6
    address. The result is not needed.
    """
    hosts: list[str] = []
    kept = dict(event)
    for part in ("multiValueHeaders", "headers"):
        headers = event.get(part)
        if isinstance(headers, dict):
            kept[part] = {name: value for name, value in headers.items() if str(name).lower() not in _SERVER_HEADERS}
            hosts += [_joined(value) for name, value in headers.items() if str(name).lower() == "host"]
    return kept | {HOST_FIELD: hosts[0]} if hosts else kept


def complete(scope: Scope) -> None:
    """Add the kept host to the scope of an event, and the root path of its routes."""
    event = scope.get("aws.event")
    if not isinstance(event, dict):
        return
    if HOST_FIELD in event:
        scope["headers"] = [*scope["headers"], [b"host", event[HOST_FIELD].encode(errors="replace")]]
    root = _root_of(event, scope["path"])
    if root is not None:
        scope["root_path"] = root


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _root_of(event: dict[str, Any], path: str) -> str | None:
    """Return the part of a path before the route, as `/v1x`.

    It is a base path, a stage, or both; None: there is none. It follows from the gateway's route. Without one
    (`$default`) only a named stage is known, with which the paths of an HTTP API begin, in payload 2.0 and in 1.0;
    those of a REST API never contain it.
    """
    route = _route_of(event)
    if route is not None:
        whole = f"{path}/" if route == "/" and not path.endswith("/") else path
        root = whole[: -len(route)] if whole.endswith(route) else ""
        return root if root.strip("/") and not root.endswith("/") else None
    stage = f"/{event.get('requestContext', {}).get('stage') or '$default'}"
    named = event.get("version") in ("1.0", "2.0") and stage != "/$default"
    return stage if named and f"{path}/".startswith(f"{stage}/") else None


def _route_of(event: dict[str, Any]) -> str | None:
    """Return the path of the gateway's route, with its parameters filled in. None for `$default`."""
    route = event.get("resource") or str(event.get("routeKey")).rpartition(" ")[2]
    if not isinstance(route, str) or not route.startswith("/"):
        return None
    values = event.get("pathParameters")
    given = values if isinstance(values, dict) else {}
    return unquote(_PARAMETER.sub(lambda name: str(given.get(name[1], name[0])), route))


def _has_source_ip(caller: Any) -> bool:
    return isinstance(caller, dict) and isinstance(caller.get("sourceIp"), str)
