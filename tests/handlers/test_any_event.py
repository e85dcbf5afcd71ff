"""Random whole events, in both payloads: none is answered 5xx, and no exception leaves a function.

`make fuzz` generates more of them, different ones at each run.
"""

import json
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from tests.events import Event, http_event, rest_event
from tests.handlers.conftest import Fuzz, NewWorld
from tests.handlers.test_openapi import DOCUMENTS, Prepared, operations

ROUTES: Final = [
    ("mcp", "POST", "/mcp"),  # not in the OpenAPI document
    *sorted((name, method.upper(), path) for name in DOCUMENTS for path, method, _ in operations(DOCUMENTS[name])),
]
HEADERS: Final = (
    *("authorization", "cookie", "origin", "host", "content-type", "content-length", "content-encoding", "accept"),
    *(
        "range",
        "if-none-match",
        "if-range",
        "if-modified-since",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
    ),
    *(
        "x-forwarded-port",
        "x-amzn-trace-id",
        "traceparent",
        "access-control-request-method",
        "idempotency-key",
        "expect",
    ),
)
VALUES: Final = (
    *("", " ", "null", "bytes=0-1", "bytes=-", "bytes=9999999999999999999999-", '"', "*", 'W/"', "application/json"),
    *(
        "multipart/form-data; boundary=",
        "text/plain; charset=utf-7",
        "application/json; charset=\x00",
        "gzip",
        "-1",
        "NaN",
    ),
    *(
        "https://evil.example.org",
        "auth_token=",
        'auth_token=x; auth_token="',
        "Bearer ",
        "Basic Og==",
        "Bearer at_live_x",
    ),
)
STAGES: Final = ("$default", "dev", "api", "production")
BASES: Final = (*[""] * 8, "/v1x", "/api", "//", "/..", "/%2e%2e")

junk = st.one_of(st.sampled_from(VALUES), st.text(max_size=40))
fields = st.sampled_from(
    (
        *("text", "voice", "title", "email", "password", "currentPassword", "newPassword", "name", "test", "expiresAt"),
        *("key", "limits", "scopes", "graceSeconds", "tier", "memosPerDay"),
    )
)
leaves = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), junk),
    st.sampled_from(("me@example.org", "correct horse battery", "rachel", "2026-03-02", 10**400, -0.0, "\ud800")),
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=4))
bodies = st.one_of(
    st.none(),
    st.dictionaries(fields, values, max_size=5).map(json.dumps),
    values.map(json.dumps),
    st.text(max_size=60),
    st.binary(max_size=60),
    st.sampled_from(("[" * 5000, '{"text":' * 3000, "1e999", '{"a":1,"a":2}', "\ufeff{}")),
)
queries = st.lists(
    st.tuples(
        st.sampled_from(("limit", "cursor", "from", "to", "voice", "action", "days", "format", "bucket", "groupBy"))
        | st.sampled_from(("startTime", "endTime", "startDate", "endDate"))
        | st.text(max_size=5),
        junk.filter(lambda text: not any("\ud800" <= character <= "\udfff" for character in text)),
    ),
    max_size=4,
)
HOLES: Final = (
    *("headers", "multiValueHeaders", "cookies", "queryStringParameters", "multiValueQueryStringParameters", "body"),
    *(
        "rawQueryString",
        "pathParameters",
        "isBase64Encoded",
        "stageVariables",
        "routeKey",
        "resource",
        "rawPath",
        "path",
    ),
)


@st.composite
def events(draw: st.DrawFn, prepared: Prepared) -> tuple[str, Event]:
    """Draw a function and an event for it: nearly always of one of its routes, through all kinds of gateways."""
    function, method, route = draw(st.sampled_from(ROUTES))
    path = route
    for name, known in prepared.ids.items():
        given = draw(st.sampled_from((known, known, "..", "%00", "\u00e9", "x" * 300))) if f"{{{name}}}" in path else ""
        path = path.replace(f"{{{name}}}", given)
    base, stage = draw(st.sampled_from(BASES)), draw(st.sampled_from(STAGES))
    token = prepared.tokens[draw(st.sampled_from(("session", "session", "admin", "key", "nobody")))]
    headers = {name: draw(junk) for name in draw(st.lists(st.sampled_from(HEADERS), max_size=4))}
    how: dict[str, Any] = {
        "query": draw(queries),
        "headers": {**headers, **({"authorization": f"Bearer {token}"} if token else {})},
        "cookies": draw(st.lists(junk, max_size=3)),
        "body": draw(bodies),
        "source_ip": draw(st.sampled_from(("203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7", "", "not an address"))),
        "stage": stage,
    }
    build = draw(st.sampled_from((http_event, rest_event)))
    if build is http_event and stage != "$default":
        base = f"/{stage}{base}"
    method = draw(st.sampled_from((*[method] * 8, "HEAD", "PURGE", "")))
    event = build(method, base + path, **how)
    if base and draw(st.booleans()):  # the gateway names the route that follows its base path
        event["routeKey" if build is http_event else "resource"] = f"{method} {path}" if build is http_event else path
    for hole in draw(st.lists(st.sampled_from(HOLES), max_size=2)):
        if hole in event:
            event[hole] = draw(st.sampled_from((None, "", 7, [], {}, [None], {"a": None})))
    return function, event


def test_no_event_makes_a_function_fail(new_world: NewWorld, fuzz: Fuzz) -> None:
    """Any event of a gateway is answered with a status from 200 to 499."""
    prepared = Prepared(new_world())

    @fuzz(150)
    @given(events(prepared))
    def check(drawn: tuple[str, Event]) -> None:
        answer = prepared.world.handle(*drawn)
        assert 200 <= answer.status < 500, (drawn, answer)

    check()
