"""Accept an answer only if it is complete and comes from DynamoDB: checked before the SDK parses it.

The SDK does not check this. Since botocore 1.43 it accepts a body that is shorter than its `Content-Length`, most of
its retry modes ignore the checksum, and it parses an empty body as an answer without fields: an absent row, a counter
without a value, a deleted session.
"""

import json
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from shared.stores.dynamo.failures import TRY_LATER, AnswerCut, NotDynamo

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_OF_OTHER_SERVICES: Final = ("SerializationException", "UnknownOperationException")
"""Errors with which another AWS service answers our requests, or DynamoDB those that were garbled on the way."""


def check_answers(client: "DynamoDBClient") -> None:
    """Let a client's calls raise AnswerCut or NotDynamo for an answer that is not valid.

    The SDK emits its event `before-parse` for each answer, in all versions and retry modes.
    """
    endpoint = client.meta.endpoint_url

    def check(response_dict: Mapping[str, Any], **_: object) -> None:
        status, headers, body = (response_dict[name] for name in ("status_code", "headers", "body"))
        _check_whole(status, headers, body)
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in TRY_LATER:
            _check_dynamo(status, headers, body, endpoint)

    client.meta.events.register("before-parse.dynamodb", check)


def _check_whole(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise AnswerCut unless length and checksum match. A success needs one of them, and an object."""
    length, checksum = headers.get("content-length"), headers.get("x-amz-crc32")
    if length is not None and length != str(len(body)):
        raise AnswerCut(f"{len(body)} of {length} bytes (HTTP {status})")
    if checksum is not None and checksum != str(zlib.crc32(body)):
        raise AnswerCut(f"{len(body)} bytes, whose checksum is not {checksum} (HTTP {status})")
    if status < HTTPStatus.MULTIPLE_CHOICES and (not body.startswith(b"{") or (length is None and checksum is None)):
        raise AnswerCut(f"{len(body)} bytes, which are no object or have no length and no checksum (HTTP {status})")


def _check_dynamo(status: int, headers: Mapping[str, str], body: bytes, endpoint: str) -> None:
    """Raise NotDynamo unless the error names its kind, as DynamoDB's do."""
    kind = headers.get("x-amzn-errortype") or _kind(body)
    if not kind or kind.endswith(_OF_OTHER_SERVICES):
        raise NotDynamo(f"HTTP {status} {kind} from {endpoint}")


def _kind(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:  # not JSON, or no text
        return ""
    return str(answer.get("__type", "")) if isinstance(answer, dict) else ""
