"""Complete API Gateway events, as Lambda receives them: an HTTP API's (payload 2.0) and a REST API's (payload 1.0).

A body of bytes is encoded in base64, as API Gateway does; a body of text is sent unchanged.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

SOURCE_IP: Final = "203.0.113.7"
HOST: Final = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"

Event = dict[str, Any]
Query = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class LambdaContext:
    """Lambda's context of an invocation."""

    function_name: str = "agent-talk-test"
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 512
    aws_request_id: str = "8f5ab2a4-6f7c-4c43-9d22-0d3a3cb2a111"
    log_group_name: str = "/aws/lambda/agent-talk-test"
    log_stream_name: str = "2026/03/02/[$LATEST]0123456789abcdef"
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:agent-talk-test"
    client_context: None = None
    identity: None = None
    remaining_ms: int = field(default=10_000, repr=False)

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def http_event(
    method: str,
    path: str,
    *,
    query: Query | str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Sequence[str] = (),
    body: str | bytes | None = None,
    source_ip: str = SOURCE_IP,
    stage: str = "$default",
) -> Event:
    """Return an HTTP API's event. With a named stage `path` is the client's path, so it begins with the stage."""
    raw_query = query if isinstance(query, str) else urlencode(list(_pairs(query)))
    text, encoded = _body(body)
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": raw_query,
        "headers": _headers(headers, source_ip, text),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": HOST,
            "domainPrefix": "a1b2c3d4e5",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source_ip,
                "userAgent": "agent-talk-tests/1",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": stage,
            "time": "02/Mar/2026:12:00:00 +0000",
            "timeEpoch": 1772452800000,
        },
        "isBase64Encoded": encoded,
    }
    if cookies:
        event["cookies"] = list(cookies)
    if not isinstance(query, str) and query:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in _grouped(query).items()}
    if text is not None:
        event["body"] = text
    return event


def rest_event(
    method: str,
    path: str,
    *,
    query: Query = (),
    headers: Mapping[str, str] | None = None,
    cookies: Sequence[str] = (),
    body: str | bytes | None = None,
    source_ip: str = SOURCE_IP,
    stage: str = "dev",
) -> Event:
    """Return a REST API's event. `path` never contains the stage; header names keep the caller's case."""
    text, encoded = _body(body)
    sent = {name.title(): value for name, value in _headers(headers, source_ip, text).items()}
    if cookies:
        sent["Cookie"] = "; ".join(cookies)
    values = _grouped(query)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {name: given[-1] for name, given in values.items()} or None,
        "multiValueQueryStringParameters": values or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": HOST,
            "domainPrefix": "a1b2c3d4e5",
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "httpMethod": method,
            "identity": {"sourceIp": source_ip, "userAgent": "agent-talk-tests/1", "accountId": None},
            "path": f"/{stage}{path}",
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTime": "02/Mar/2026:12:00:00 +0000",
            "requestTimeEpoch": 1772452800000,
            "resourceId": "0vgl4d",
            "resourcePath": "/{proxy+}",
            "stage": stage,
        },
        "body": text,
        "isBase64Encoded": encoded,
    }


def _body(body: str | bytes | None) -> tuple[str | None, bool]:
    if isinstance(body, bytes):
        return base64.b64encode(body).decode(), True
    return body, False


def _headers(headers: Mapping[str, str] | None, source_ip: str, body: str | None) -> dict[str, str]:
    sent = {
        "accept": "*/*",
        "host": HOST,
        "user-agent": "agent-talk-tests/1",
        "x-amzn-trace-id": "Root=1-65a5f3c0-0123456789abcdef01234567",
        "x-forwarded-for": source_ip,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    if body is not None:
        sent["content-type"] = "application/json"
        sent["content-length"] = str(len(body.encode("utf-8", "surrogatepass")))
    return sent | {name.lower(): value for name, value in (headers or {}).items()}


def _pairs(query: Query) -> Iterable[tuple[str, str]]:
    return query.items() if isinstance(query, Mapping) else query


def _grouped(query: Query) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in _pairs(query):
        values.setdefault(name, []).append(value)
    return values


def schedule_event() -> Event:
    """Return the event of EventBridge for a schedule."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-03-02T12:00:00Z",
        "region": "eu-central-1",
        "resources": ["arn:aws:events:eu-central-1:123456789012:rule/agent-talk-test-housekeeping"],
        "detail": {},
    }


def sqs_event(bodies: Sequence[str], *, received: int = 1) -> Event:
    """Return messages of an SQS queue as Lambda's event. `received` is each one's receive count, this one included."""
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-66197{number:07}",
                "receiptHandle": f"receipt-{number}",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": str(received),
                    "SentTimestamp": "1772452800000",
                    "SenderId": "memos",
                    "ApproximateFirstReceiveTimestamp": "1772452800010",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:agent-talk-test-long-memos",
                "awsRegion": "eu-central-1",
            }
            for number, body in enumerate(bodies)
        ]
    }
