"""The common behaviour of all functions: events, bodies, errors, headers, request ids and CORS."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.port import AlreadyExists, InvalidKey, StoreError, StoreNotReady, StoreUnavailable
from shared.web.function import Function
from tests.events import http_event, rest_event, schedule_event
from tests.handlers.world import PASSWORD, PRODUCTION, Account, Answer, Logs, World
from tests.support import Intercepted

NewWorld = Callable[..., World]

SIGN_UP = "/api/v1/auth/signup"
DEMO = "/api/v1/demo"
MEMO = "/api/v1/memo"
FUNCTIONS = ("users", "keys", "memos", "mcp", "usage", "subscriptions", "admin", "health")
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
NOT_JSON = (400, "VALIDATION_ERROR", "Request body is not valid JSON")
BODIES = [
    ("POST", SIGN_UP),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/change-password"),
    ("POST", "/api/keys"),
    ("PATCH", "/api/keys/x"),
    ("POST", "/api/keys/verify"),
    ("POST", DEMO),
    ("POST", MEMO),
    ("PATCH", "/api/v1/memo/x"),
]
"""All routes that read a body."""


def token_for(path: str, account: Account) -> str:
    return account.key if path == MEMO else account.session


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("body", ["{", "nope", '{"a": 1} x'])
def test_body_is_400_when_it_is_no_json(world: World, ada: Account, method: str, path: str, body: str) -> None:
    """This holds for every route that reads a body, and the error has no details."""
    answer = world.send(method, path, token=token_for(path, ada), body=body)
    assert answer.refusal == NOT_JSON
    assert "details" not in answer.error


@pytest.mark.parametrize("body", ['{"a": }', "{'a': 1}", "\0", "[" * 100_000, '{"a":' * 100_000, "9" * 5000])
def test_body_is_400_when_no_parser_takes_it(world: World, body: str) -> None:
    """Deep nesting and huge numbers are 400 too."""
    assert world.post(SIGN_UP, body=body).refusal == NOT_JSON


@pytest.mark.parametrize("body", [b"\xff\xfe", b'{"email": "\xe9"}'])
def test_body_is_400_when_it_is_no_utf_8(world: World, body: bytes) -> None:
    """Bytes that are no UTF-8 are no JSON."""
    assert world.post(SIGN_UP, body=body).refusal[:2] == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("[]", "array"),
        ('"text"', "string"),
        ("7", "number"),
        ("1e400", "number"),
        ("true", "boolean"),
    ],
)
def test_body_is_400_when_it_is_no_object(
    world: World, ada: Account, method: str, path: str, body: str, kind: str
) -> None:
    """The type that was sent is named."""
    answer = world.send(method, path, token=token_for(path, ada), body=body)
    assert answer.refusal == (400, "INVALID_INPUT", "Invalid body: expected object")
    assert answer.error["details"]["field"] == "body"
    assert answer.error["details"]["providedType"] == kind


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in BODIES if path != "/api/keys"])
def test_body_is_400_when_it_is_null(world: World, ada: Account, method: str, path: str) -> None:
    """Only POST /api/keys takes null, since its body is optional."""
    answer = world.send(method, path, token=token_for(path, ada), body="null")
    assert answer.refusal == (400, "INVALID_INPUT", "Invalid body: expected object")


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", SIGN_UP, "email"),
        ("POST", SIGN_UP, "password"),
        ("POST", "/api/v1/auth/login", "email"),
        ("POST", "/api/v1/auth/login", "password"),
        ("POST", "/api/v1/auth/change-password", "currentPassword"),
        ("POST", "/api/keys", "name"),
        ("POST", "/api/keys", "expiresAt"),
        ("PATCH", "/api/keys/x", "name"),
        ("POST", "/api/keys/verify", "key"),
        ("POST", DEMO, "text"),
        ("POST", DEMO, "voice"),
        ("POST", MEMO, "text"),
        ("POST", MEMO, "title"),
        ("PATCH", "/api/v1/memo/x", "title"),
    ],
)
@pytest.mark.parametrize("surrogate", ["\ud800", "ok \\udfff"])
def test_body_fields_refuse_lone_surrogates(
    world: World, ada: Account, method: str, path: str, field: str, surrogate: str
) -> None:
    """Text that is not valid Unicode is 400, raw or escaped."""
    fields = {"email": "a@example.org", "password": PASSWORD, "text": "Hello", "voice": "rachel"}
    sent = json.dumps({name: value for name, value in fields.items() if name != field})[:-1]
    answer = world.send(method, path, token=token_for(path, ada), body=f'{sent}, "{field}": "{surrogate}"}}')
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")


def test_body_fields_take_escaped_surrogate_pairs(world: World) -> None:
    """An escaped pair is one character."""
    answer = world.post(DEMO, body='{"text": "\\ud83d\\ude00", "voice": "rachel"}')
    assert (answer.status, answer.json["text"], answer.json["characterCount"]) == (201, "\N{GRINNING FACE}", 2)


def test_unknown_field_names_may_be_invalid_unicode(world: World) -> None:
    """Unknown fields are ignored, whatever their names are."""
    answer = world.post(DEMO, body='{"text": "Hi", "voice": "rachel", "\\ud800": "\\ud800"}')
    assert answer.status == 201


@pytest.mark.parametrize(
    "event",
    [
        http_event("GET", "/api/v1/memo/\ud800"),
        http_event("GET", "/api/v1/memos", query="cursor=\ud800"),
        http_event("GET", "/api/v1/memos", headers={"authorization": "Bearer \ud800"}),
        http_event("GET", "/api/v1/memos", cookies=["auth_token=\ud800"]),
        http_event("GET", "/audio/\ud800"),
        http_event("POST", "/api/v1/demo", body='{"text": "\ud800", "voice": "rachel"}'),
        rest_event("GET", "/api/v1/memos", query={"cursor": "\ud800"}),
        rest_event("POST", "/api/v1/demo", body='{"text": "\ud800", "voice": "rachel"}'),
    ],
    ids=["path", "query", "header", "cookie", "audio", "body", "rest query", "rest body"],
)
def test_event_with_raw_surrogates_is_400(world: World, ada: Account, event: dict[str, Any]) -> None:
    """Raw surrogates in path, query, header, cookie or body are 400."""
    event["headers"].setdefault("authorization", f"Bearer {ada.key}")
    answer = world.handle("memos", event)
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")


def test_unknown_fields_are_ignored(world: World) -> None:
    answer = world.post(DEMO, json={"text": "Hi", "voice": "rachel", "extra": {"deep": [1]}})
    assert answer.status == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "nonsense"])
def test_body_is_json_whatever_its_type_says(world: World, content_type: str) -> None:
    """Clients may leave out Content-Type, or send another one."""
    answer = world.post(DEMO, body='{"text": "Hi", "voice": "rachel"}', headers={"content-type": content_type})
    assert answer.status == 201


@pytest.mark.parametrize("rest", [False, True])
def test_base64_body_is_decoded(world: World, rest: bool) -> None:  # noqa: FBT001 a parameter
    """API Gateway sends bytes in base64."""
    answer = world.post(DEMO, body='{"text": "Grüße", "voice": "rachel"}'.encode(), rest=rest)
    assert (answer.status, answer.json["text"]) == (201, "Grüße")


def test_base64_body_is_400_when_malformed(world: World) -> None:
    """A malformed base64 body is 400, in the envelope."""
    event = http_event("POST", DEMO, body="a") | {"isBase64Encoded": True}
    answer = world.handle("memos", event)
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_body_of_two_mebibytes_is_413(world: World, ada: Account, method: str, path: str) -> None:
    """Every route that reads a body refuses two mebibytes, with the security headers."""
    answer = world.send(method, path, token=token_for(path, ada), body=json.dumps({"text": "x" * 2 * 1024 * 1024}))
    assert answer.refusal == (413, "PAYLOAD_TOO_LARGE", "Request body exceeds 1048576 bytes")
    assert "details" not in answer.error
    assert SECURITY.items() <= answer.headers.items()


def test_refusal_before_any_route_is_in_the_log(world: World, logs: Logs) -> None:
    """The line of the request has the code that was answered."""
    world.post(DEMO, body="x" * 2 * 1024 * 1024)
    (line,) = [line for line in logs.lines if line["message"] == "request"]
    assert (line["status"], line["error"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 201), (1024 * 1024 + 1, 413)])
def test_body_has_a_mebibyte_at_most(world: World, size: int, status: int) -> None:
    """One byte more is 413, as text and in base64."""
    body = '{"text": "Hi", "voice": "rachel"}'
    assert world.post(DEMO, body=body + " " * (size - len(body))).status == status
    assert world.post(DEMO, body=(body + " " * (size - len(body))).encode()).status == status


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "event",
    [
        schedule_event(),
        {},
        None,
        [],
        "text",
        7,
        {"Records": [{"eventSource": "aws:sqs"}]},
        {"requestContext": None},
        {"requestContext": {"routeKey": "$connect", "eventType": "CONNECT"}},
        {"requestContext": {"http": None}},
        {"version": "2.0", "requestContext": {"http": {}}},
        {"httpMethod": "GET", "requestContext": {}},
    ],
)
def test_event_is_400_when_it_is_no_http_request(world: World, function: str, event: Any) -> None:
    """Every function refuses it in the envelope, with all headers."""
    answer = world.handle(function, event)
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")
    assert SECURITY.items() <= answer.headers.items()
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (SIGN_UP, "POST"),
        ("/api/v1/auth/login", "POST"),
        ("/api/v1/auth/logout", "POST"),
        ("/api/v1/auth/me", "DELETE, GET, HEAD"),
        ("/api/v1/auth/me/export", "GET, HEAD"),
        ("/api/v1/auth/forgot-password", "POST"),
        ("/api/v1/auth/reset-password", "POST"),
        ("/api/v1/auth/change-password", "POST"),
        ("/api/keys", "GET, HEAD, POST"),
        ("/api/keys/some-id", "DELETE, GET, HEAD, PATCH"),
        ("/api/keys/some-id/revoke", "POST"),
        ("/api/v1/dashboard/keys", "GET, HEAD, POST"),
        ("/api/v1/dashboard/keys/some-id", "DELETE"),
        ("/api/v1/voices", "GET, HEAD"),
        (DEMO, "POST"),
        (MEMO, "POST"),
        ("/api/v1/memo/some-id", "DELETE, GET, HEAD, PATCH"),
        ("/api/v1/memos", "GET, HEAD"),
        ("/audio/simulated-1.mp3", "GET, HEAD"),
        ("/api/v1/usage", "GET, HEAD"),
        ("/api/v1/usage/limits", "GET, HEAD"),
        ("/api/v1/dashboard/account", "GET, HEAD"),
        ("/api/v1/billing/tiers", "GET, HEAD"),
        ("/api/v1/billing/tiers/pro", "GET, HEAD"),
        ("/api/v1/billing/subscription", "GET, HEAD"),
        ("/api/v1/billing/compare/pro", "GET, HEAD"),
        ("/api/v1/admin/users", "GET, HEAD"),
        ("/api/v1/admin/users/some-id", "DELETE, GET, HEAD, PATCH"),
        ("/api/v1/admin/api-keys/some-id/revoke", "POST"),
        ("/api/v1/admin/stats", "GET, HEAD"),
        ("/health", "GET, HEAD"),
        ("/health/live", "GET, HEAD"),
        ("/health/ready", "GET, HEAD"),
        ("/health/detailed", "GET, HEAD"),
    ],
)
def test_wrong_method_is_405_with_all_right_ones(world: World, path: str, allowed: str) -> None:
    """Allow names the methods of all routes of the path."""
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - set(allowed.split(", ")):
        answer = world.send(method, path)
        assert answer.status == 405
        assert answer.headers["allow"] == allowed
        if method != "HEAD":
            assert answer.error == {"code": "METHOD_NOT_ALLOWED", "message": "Method not allowed"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_unknown_route_is_404_in_every_function(world: World, function: str) -> None:
    """The usual paths of documents, and paths with a trailing slash, are unknown too."""
    for path in ("//", "/nothing", "/docs", "/openapi.json", "/redoc", "/api/v1", "/api/keys/", "/api//keys"):
        answer = world.handle(function, http_event("GET", path))
        assert answer.refusal == (404, "NOT_FOUND", "The requested resource was not found")


@pytest.mark.parametrize(
    ("stage", "path", "status"),
    [
        ("$default", "/api/v1/voices", 200),
        ("dev", "/dev/api/v1/voices", 200),
        ("api", "/api/api/v1/voices", 200),
        ("dev", "/dev", 307),
        ("dev", "/development/api/v1/voices", 404),
        ("api", "/apiary/api/v1/voices", 404),
        ("$default", "/dev/api/v1/voices", 404),
        ("dev", "/api/v1/voices", 200),
    ],
)
def test_stage_is_one_whole_path_segment(world: World, stage: str, path: str, status: int) -> None:
    """A path that only begins like the stage is not cut."""
    assert world.handle("memos", http_event("GET", path, stage=stage)).status == status


def test_wrong_method_is_405_below_a_stage(world: World) -> None:
    """The answer names the methods of the route below the stage."""
    answer = world.handle("keys", http_event("PUT", "/dev/api/keys", stage="dev"))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("given", ["a", "A-z_09", "x" * 64])
def test_request_id_of_the_caller_is_kept(world: World, given: str) -> None:
    """A request id of the contract's form is kept, on every kind of answer."""
    for path in ("/health", "/nothing", "/api/v1/auth/me"):
        assert world.get(path, headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a.b", "<script>", "\xe9", "a\n"])
def test_request_id_of_another_form_is_replaced(world: World, given: str) -> None:
    answer = world.get("/health", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] != given
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", answer.headers["x-request-id"])


def test_new_request_ids_differ(world: World) -> None:
    """Each request without one gets its own."""
    assert len({world.get("/health").headers["x-request-id"] for _ in range(5)}) == 5


def test_request_id_is_kept_when_the_event_is_refused(world: World) -> None:
    """A 400 for an unreadable event has it too."""
    answer = world.post(DEMO, body='{"text": "\ud800"}', headers={"X-Request-Id": "mine"})
    assert (answer.status, answer.headers["x-request-id"]) == (400, "mine")


def kinds_of_answers(world: World, account: Account) -> list[Answer]:
    origin = {"origin": "https://app.example.org"}
    answers = [
        world.get("/api/v1/voices", headers=origin),
        world.post(DEMO, json={"text": "Hi", "voice": "sam"}, headers=origin),
        world.get("/audio/simulated-1.mp3", headers=origin),
        world.get("/audio/simulated-1.mp3", headers={**origin, "if-none-match": "*"}),
        world.get("/audio/simulated-1.mp3", headers={**origin, "range": "bytes=99999-"}),
        world.post(DEMO, body="{", headers=origin),
        world.get("/api/v1/auth/me", headers=origin),
        world.get("/nothing", headers=origin),
        world.send("PUT", "/api/keys", headers=origin),
        world.post(DEMO, body="x" * 1_100_000, headers=origin),
        world.get(f"{MEMO}/{'0' * 32}", token=account.key, headers=origin),
    ]
    world.spend(account, 100)
    answers.append(world.post(MEMO, token=account.key, json={"text": "Hi", "voice": "sam"}, headers=origin))
    world.is_down = True
    answers += [world.get(path, token=account.key, headers=origin) for path in ("/api/v1/memos", "/health")]
    world.is_down = False
    assert [answer.status for answer in answers] == [
        200, 201, 200, 304, 416, 400, 401, 404, 405, 413, 404, 429, 503, 503,
    ]  # fmt: skip
    return answers


def test_answers_have_the_security_headers(world: World, ada: Account) -> None:
    """Every kind of answer has them, without HSTS in development."""
    for answer in kinds_of_answers(world, ada):
        assert SECURITY.items() <= answer.headers.items()
        assert "x-request-id" in answer.headers
        assert "strict-transport-security" not in answer.headers


def test_answers_are_not_stored_but_for_named_ones(world: World, ada: Account) -> None:
    """Tokens and personal data stay in no cache; audio and pages set their own headers."""
    for answer in [*kinds_of_answers(world, ada), world.handle("users", {}), world.post(SIGN_UP, json={})]:
        kept = answer.headers["cache-control"]
        assert kept == "no-store" or "content-range" in answer.headers or answer.headers.get("etag")
    account = world.sign_up()
    for path in ("/api/v1/auth/me", "/api/keys", "/api/v1/memos", "/api/v1/usage", "/api/v1/dashboard/account"):
        assert world.get(path, token=account.session).headers["cache-control"] == "no-store"
    assert "max-age=31536000" in world.get("/audio/simulated-1.mp3").headers["cache-control"]
    assert world.get("/app").headers["cache-control"] == "no-store"


def test_answers_have_hsts_in_production(new_world: NewWorld) -> None:
    """Refused events have it too."""
    world = new_world(PRODUCTION)
    answers = [*kinds_of_answers(world, world.sign_up()), world.handle("users", {})]
    for answer in answers:
        assert answer.headers["strict-transport-security"].startswith("max-age=31536000")


def test_cors_admits_any_origin_in_development(world: World, ada: Account) -> None:
    """In development any origin is admitted, without credentials."""
    for answer in kinds_of_answers(world, ada):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


def test_cors_admits_configured_origins_in_production(new_world: NewWorld) -> None:
    """Similar origins are not admitted."""
    world = new_world(PRODUCTION)
    for answer in kinds_of_answers(world, world.sign_up()):
        assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]
    for origin in ("https://evil.example.org", "https://app.example.org.evil.org", "http://app.example.org", "null"):
        assert "access-control-allow-origin" not in world.get("/health", headers={"origin": origin}).headers


def test_answers_expose_the_headers_that_pages_read(world: World) -> None:
    """Pages of other origins can read every header that the contract names, and no cookie."""
    answer = world.get("/api/v1/voices", headers={"origin": "https://any.example.org"})
    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed == {
        *("x-request-id", "x-memo-id", "x-next-cursor", "idempotency-replayed", "retry-after", "etag", "content-range"),
        *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy", "ratelimit"),
    }


SDK = ", ".join(
    name.lower() for name in AsyncOpenAI(api_key="k").default_headers if name not in {"Accept", "User-Agent"}
)
"""The headers of OpenAI's own SDK that a page may choose."""


def preflight(world: World, path: str, origin: str, method: str) -> Answer:
    return world.send(
        "OPTIONS",
        path,
        headers={
            "origin": origin,
            "access-control-request-method": method,
            "access-control-request-headers": "authorization, content-type, idempotency-key, x-request-id",
        },
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_preflight_admits_methods_and_headers(world: World, method: str) -> None:
    """A preflight admits the API's methods and headers, in development from any origin."""
    for path in (MEMO, "/api/keys", "/api/v1/auth/me"):
        answer = preflight(world, path, "https://any.example.org", method)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert method in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in ("authorization", "content-type", "idempotency-key", "x-request-id"))
        assert SECURITY.items() <= answer.headers.items()


def test_preflight_is_400_for_other_origins_in_production(new_world: NewWorld) -> None:
    """A configured origin is admitted."""
    world = new_world(PRODUCTION)
    good = preflight(world, MEMO, "https://admin.example.org", "POST")
    assert (good.status, good.headers["access-control-allow-origin"]) == (200, "https://admin.example.org")
    bad = preflight(world, MEMO, "https://evil.example.org", "POST")
    assert bad.status == 400
    assert "access-control-allow-origin" not in bad.headers


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (MEMO, "authorization, content-type, idempotency-key, x-request-id, traceparent, tracestate"),
        ("/audio/simulated-10.mp3", "if-none-match, if-range, range"),
        ("/v1/audio/speech", f"authorization, content-type, x-stainless-retry-count, x-stainless-timeout, {SDK}"),
    ],
    ids=["api", "audio", "sdk"],
)
def test_preflight_admits_what_is_read_in_production(new_world: NewWorld, path: str, asked: str) -> None:
    """A page of a configured origin may send every header that the API reads, and those of OpenAI's SDKs."""
    headers = {
        "origin": "https://app.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    assert new_world(PRODUCTION).send("OPTIONS", path, headers=headers).status == 200


def test_preflight_is_answered_in_an_outage(world: World) -> None:
    world.is_down = True
    assert preflight(world, MEMO, "https://any.example.org", "POST").status == 200


def test_defect_is_500_with_a_fixed_text(new_world: NewWorld, logs: Logs) -> None:
    """The log has the cause, with the request's id; the answer has not."""
    world = new_world()
    account = world.sign_up()
    broken = breaking(world)
    try:
        event = http_event(
            "GET",
            "/api/v1/auth/me",
            headers={"authorization": f"Bearer {account.session}", "x-request-id": "mine", "origin": "https://a.org"},
        )
        given = broken(event, None)
    finally:
        broken.close()
    assert given["statusCode"] == 500
    assert json.loads(given["body"]) == {"error": {"code": "INTERNAL_ERROR", "message": "An unexpected error occurred"}}
    assert SECURITY.items() <= given["headers"].items()
    assert given["headers"]["x-request-id"] == "mine"
    assert given["headers"]["access-control-allow-origin"] == "*"
    (line,) = [line for line in logs.lines if "exploded" in json.dumps(line)]
    assert (line["level"], line["request_id"]) == ("ERROR", "mine")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (StoreError("HYPR Micro does not take this request"), 503, "SERVICE_UNAVAILABLE"),
        (StoreNotReady("the API key is refused"), 503, "SERVICE_UNAVAILABLE"),
        (StoreUnavailable("no answer"), 503, "SERVICE_UNAVAILABLE"),
        (AlreadyExists(), 500, "INTERNAL_ERROR"),
        (InvalidKey("x"), 500, "INTERNAL_ERROR"),
    ],
    ids=str,
)
def test_store_error_is_an_outage_unless_it_is_our_own(
    world: World, ada: Account, failure: StoreError, status: int, code: str
) -> None:
    """After any refusal or failure of an engine clients may retry; a wrong use of the store is our own defect."""
    broken = breaking(world, failure)
    try:
        given = broken(http_event("GET", "/api/v1/auth/me", headers={"authorization": f"Bearer {ada.session}"}), None)
    finally:
        broken.close()
    assert (given["statusCode"], json.loads(given["body"])["error"]["code"]) == (status, code)
    assert ("retry-after" in given["headers"]) == (status == 503)


def breaking(world: World, failure: Exception | None = None) -> Function:
    """Return the users function on a store whose reads raise `failure`; None: a RuntimeError."""

    class Exploding(Intercepted):
        async def get(self, *_: Any) -> Any:
            raise failure or RuntimeError("exploded at /secret/path")

    def build(settings: Settings) -> Services:
        return Services.on(Exploding(world.store), settings, clock=world.clock)

    return world.functions["users"].with_environment(world.environ, build)


def test_log_lines_have_the_request_id(world: World, logs: Logs) -> None:
    """Each line has the id of its own request."""
    world.get("/api/v1/voices", headers={"x-request-id": "first"})
    world.get("/api/v1/auth/me", headers={"x-request-id": "second"})
    assert [(line["request_id"], line["status"]) for line in logs.lines if line["message"] == "request"] == [
        ("first", 200),
        ("second", 401),
    ]


@pytest.mark.parametrize("path", ["/health", "/api/v1/voices", "/api/v1/billing/tiers", "/audio/simulated-10.mp3"])
def test_head_is_get_without_the_body(world: World, path: str) -> None:
    """HEAD has the length of GET's body."""
    head, get = world.send("HEAD", path), world.send("GET", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_preflight_refusal_has_the_envelope(new_world: NewWorld) -> None:
    """A preflight without an admitted origin is refused in the envelope."""
    asked = {"origin": "https://evil.example.org", "access-control-request-method": "GET"}
    answer = new_world(PRODUCTION).send("OPTIONS", "/api/v1/voices", headers=asked)
    assert (answer.status, answer.error["code"]) == (400, "VALIDATION_ERROR")
    assert "access-control-allow-origin" not in answer.headers
