"""Events that are requests, and the normal form of a client's address."""

from typing import Any

import pytest

from shared.web.auth import client_network
from shared.web.events import is_http, normal_event
from tests.events import http_event, rest_event

ALB = {
    "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/t/1"}},
    "httpMethod": "GET",
    "path": "/health",
    "queryStringParameters": {},
    "headers": {"x-forwarded-for": "203.0.113.7"},
    "body": "",
    "isBase64Encoded": False,
}
HTTP_AUTHORIZER = http_event("GET", "/health") | {
    "type": "REQUEST",
    "routeArn": "arn:aws:execute-api:eu-central-1:1:a/$default/GET/health",
    "identitySource": ["x"],
}
REST_AUTHORIZER = rest_event("GET", "/health") | {
    "type": "REQUEST",
    "methodArn": "arn:aws:execute-api:eu-central-1:1:a/dev/GET/health",
}
TOKEN_AUTHORIZER = {
    "type": "TOKEN",
    "authorizationToken": "x",
    "methodArn": "arn:aws:execute-api:eu-central-1:1:a/dev/GET",
}
LATTICE = {"version": "2.0", "path": "/health", "method": "GET", "requestContext": {"serviceArn": "arn"}}
WEBSOCKET = {"requestContext": {"routeKey": "$connect", "identity": {"sourceIp": "203.0.113.7"}}, "headers": {}}


@pytest.mark.parametrize("event", [http_event("GET", "/health"), rest_event("GET", "/health")])
def test_is_http_takes_both_payloads(event: dict[str, Any]) -> None:
    """HTTP APIs and REST APIs are served."""
    assert is_http(event)


@pytest.mark.parametrize(
    "event",
    [ALB, ALB | {"resource": "/"}, HTTP_AUTHORIZER, REST_AUTHORIZER, TOKEN_AUTHORIZER, LATTICE, WEBSOCKET],
    ids=["ALB", "ALB with resource", "HTTP authorizer", "REST authorizer", "TOKEN authorizer", "Lattice", "WebSocket"],
)
def test_is_http_refuses_other_senders(event: dict[str, Any]) -> None:
    """An ALB's client address is forged by the caller, and an authorizer's answer grants access."""
    assert not is_http(event)


@pytest.mark.parametrize("address", [None, 7, ["203.0.113.7"]])
def test_is_http_refuses_events_without_source_ip(address: object) -> None:
    """Attempts are counted by the source IP, so a request without one is refused."""
    event = http_event("GET", "/health")
    event["requestContext"]["http"]["sourceIp"] = address
    assert not is_http(event)


def test_normal_event_joins_cookie_headers_by_semicolons() -> None:
    """Only cookies are joined so, in any case of the name; other repeated headers stay lists."""
    event = rest_event("GET", "/health") | {"multiValueHeaders": {"cOOkie": ["a=1", "b=2"], "X-Y": ["1", "2"]}}
    assert normal_event(event)["multiValueHeaders"] == {"cOOkie": ["a=1; b=2"], "X-Y": ["1", "2"]}


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:CB00:7107", "203.0.113.7"),
        ("2001:db8:0:1::5", "2001:db8:0:1::/64"),
        ("2001:0DB8:0000:0001:ffff:0000:0000:0001", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::5", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unknown"),
        ("test-invoke-source-ip", "test-invoke-source-ip"),
    ],
)
def test_client_network_is_the_64_of_ipv6(address: str, network: str) -> None:
    """A customer has a /64 at least, so all of it is one client, in one spelling; a mapped IPv4 address is IPv4."""
    assert client_network(address) == network
