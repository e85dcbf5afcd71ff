"""Events of API Gateway behind proxies, custom domains, base paths and named stages."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.events import Event, http_event, rest_event
from tests.handlers.test_any_event import ROUTES
from tests.handlers.world import Account, World

ME = "/api/v1/auth/me"
VOICES = "/api/v1/voices"
PAYLOAD_1: dict[str, Any] = {"version": "1.0", "resource": "$default", "pathParameters": None}
"""The fields that an HTTP API adds to events in payload 1.0, which otherwise equal a REST API's."""

UNREAD = [
    {"x-forwarded-port": "443,80"},
    {"x-forwarded-port": ""},
    {"x-forwarded-port": "abc"},
    {"x-forwarded-port": "99999999999999999999"},
    {"host": "[2001:db8::1]"},
    {"host": "[2001:db8::1]:8443"},
    {"host": "a:b:c"},
    {"host": ""},
    {"host": "\ud800.example.org"},
    {"host": "api.example.org:", "x-forwarded-port": "x"},
    {"x-forwarded-proto": "https, http"},
    {"x-forwarded-proto": ""},
]


@pytest.mark.parametrize("headers", UNREAD, ids=str)
@pytest.mark.parametrize("build", [http_event, rest_event])
def test_event_is_served_when_its_server_is_unreadable(world: World, build: Any, headers: dict[str, str]) -> None:
    """No answer depends on the port or the name by which the server was reached."""
    assert world.handle("memos", build("GET", VOICES, headers=headers)).status == 200


def test_origin_is_own_when_host_is_an_ipv6_address(world: World, ada: Account) -> None:
    """An IPv6 host counts as the service's own origin."""
    headers = {"host": "[2001:db8::1]", "origin": "https://[2001:db8::1]"}
    answer = world.get(ME, headers=headers, cookies=[f"auth_token={ada.session}"])
    assert answer.status == 200


GATEWAYS: dict[str, Callable[..., Event]] = {
    "REST API": rest_event,
    "REST API behind a base path": lambda method, path, **how: (
        rest_event(method, f"/v1x{path}", **how)
        | {"resource": "/{proxy+}", "pathParameters": {"proxy": path.lstrip("/")}}
    ),
    "HTTP API on a stage": lambda method, path, **how: http_event(method, f"/dev{path}", stage="dev", **how),
    "HTTP API on a stage in payload 1.0": lambda method, path, **how: (
        rest_event(method, f"/dev{path}", stage="dev", **how) | PAYLOAD_1
    ),
    "HTTP API behind a base path": lambda method, path, **how: (
        http_event(method, f"/v1x{path}", **how) | {"routeKey": f"ANY {path}"}
    ),
}


def behind(base: str, path: str, *, route: str = "/{proxy+}", **parameters: str) -> Event:
    """Return a REST API's event through a custom domain whose base path is not the stage."""
    return rest_event("GET", base + path) | {
        "resource": route,
        "pathParameters": parameters or {"proxy": path.lstrip("/")},
    }


@pytest.mark.parametrize("base", ["/v1x", "/api", "/a/b"])
def test_rest_event_behind_a_base_path_is_served(world: World, ada: Account, base: str) -> None:
    """A custom domain's base path precedes the route, whatever it is called; links and errors are the same."""
    event = behind(base, ME)
    event["headers"]["Authorization"] = f"Bearer {ada.session}"
    event["multiValueHeaders"]["Authorization"] = [f"Bearer {ada.session}"]
    assert world.handle("users", event).status == 200
    assert world.handle("memos", behind(base, VOICES)).status == 200
    memo = behind(base, "/api/v1/memo/x", route="/api/v1/memo/{memo_id}", memo_id="x")
    assert world.handle("memos", memo).refusal[:2] == (401, "MISSING_API_KEY")


def test_http_event_behind_a_base_path_is_served(world: World) -> None:
    """An HTTP API's mapping precedes the route that `routeKey` names."""
    event = http_event("GET", f"/v1x{VOICES}") | {"routeKey": f"GET {VOICES}"}
    assert world.handle("memos", event).status == 200
    event = http_event("GET", "/v1x/audio/simulated-1.mp3") | {
        "routeKey": "GET /audio/{file}",
        "pathParameters": {"file": "simulated-1.mp3"},
    }
    assert world.handle("memos", event).status == 200


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_each_route_answers_alike_through_any_gateway(world: World, ada: Account, gateway: str) -> None:
    """Status, error and location are equal for any prefix of the path. Only GET requests have a session."""
    ids = {
        "memo_id": world.memo(ada.key)["id"],
        "key_id": ada.key_id,
        "user_id": ada.id,
        "tier": "pro",
        "sample": "sam.mp3",
    }
    for function, method, route in ROUTES:
        path = re.sub(r"\{(\w+)\}", lambda name: ids.get(name[1], "simulated-9.mp3"), route)
        how: dict[str, Any] = {"headers": {"authorization": f"Bearer {ada.session}"} if method == "GET" else {}}
        expected = world.handle(function, http_event(method, path, **how))
        answer = world.handle(function, GATEWAYS[gateway](method, path, **how))
        seen, wanted = ((each.status, each.error if each.status >= 400 else {}) for each in (answer, expected))
        assert seen == wanted, (method, route)
        assert answer.headers.get("location") == expected.headers.get("location"), (method, route)


@pytest.mark.parametrize(
    ("path", "stage", "status"),
    [
        (f"/dev{VOICES}", "dev", 200),
        (f"/api{VOICES}", "api", 200),
        (VOICES, "$default", 200),
        (VOICES, "dev", 200),
        (f"/development{VOICES}", "dev", 404),
        (f"/dev{VOICES}", "$default", 404),
    ],
)
def test_payload_1_on_a_named_stage_is_served(world: World, path: str, stage: str, status: int) -> None:
    """An HTTP API puts its stage before the path in payload 1.0 too."""
    assert world.handle("memos", rest_event("GET", path, stage=stage) | PAYLOAD_1).status == status


@pytest.mark.parametrize(
    ("build", "stage", "also"),
    [
        (http_event, "dev", {}),
        (http_event, "dev", {"routeKey": "ANY /"}),
        (http_event, "$default", {"routeKey": "GET /"}),
        (rest_event, "dev", PAYLOAD_1),
        (rest_event, "$default", {"resource": "/"}),
    ],
)
def test_root_of_a_stage_leads_to_the_console(world: World, build: Any, stage: str, also: Event) -> None:
    """Without the last slash it redirects to the address with it, so that `app` is found below the stage."""
    for path, location in (("/dev", "dev/"), ("/dev/", "app")):
        answer = world.handle("usage", build("GET", path, stage=stage) | also)
        assert (answer.status, answer.headers["location"]) == (307, location)


@pytest.mark.parametrize(
    "event",
    [
        rest_event("GET", f"/dev{VOICES}"),
        rest_event("GET", f"//{VOICES}"),
        behind("/v1x", VOICES, proxy="voices"),
        behind("/v1x", VOICES, proxy="other"),
        behind("/v1x", VOICES) | {"pathParameters": {"proxy": None}},
        behind("/v1x", VOICES) | {"pathParameters": None},
        behind("/v1x", VOICES) | {"resource": None},
        behind("/v1x", VOICES) | {"resource": 7},
    ],
)
def test_path_that_no_route_explains_is_unknown(world: World, event: Event) -> None:
    """A REST API's paths never contain the stage, and no part of a path is removed by guessing."""
    assert world.handle("memos", event).refusal[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize("address", [None, 7, ["203.0.113.7"], {}])
@pytest.mark.parametrize("build", [http_event, rest_event])
def test_event_is_refused_when_its_source_is_no_text(world: World, build: Any, address: object) -> None:
    """Attempts are counted by source, so an event without one is 400, and no failure of the function."""
    event = build("POST", "/api/v1/demo", body='{"text": "Hi", "voice": "sam"}')
    event["requestContext"].get("http", event["requestContext"].get("identity"))["sourceIp"] = address
    answer = world.handle("memos", event)
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")
