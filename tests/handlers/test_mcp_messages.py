"""Single JSON-RPC messages, read from a body and answered."""

from typing import Any

import pytest

from handlers.mcp_protocol.messages import MOST_ID, RpcCode, RpcError, RpcMessage, error_body, parsed

HEAD = '"jsonrpc": "2.0"'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f'{{{HEAD}, "id": 7, "method": "ping"}}', RpcMessage(id=7, method="ping")),
        (
            f'{{{HEAD}, "id": "a", "method": "ping", "params": {{"a": 1}}}}',
            RpcMessage(id="a", method="ping", params={"a": 1}),
        ),
        (f'{{{HEAD}, "id": {MOST_ID - 1}, "method": "ping"}}', RpcMessage(id=MOST_ID - 1, method="ping")),
        (f'{{{HEAD}, "id": {1 - MOST_ID}, "method": "ping"}}', RpcMessage(id=1 - MOST_ID, method="ping")),
        (f'{{{HEAD}, "method": "notifications/initialized"}}', RpcMessage(id=None, method="notifications/initialized")),
        (f'{{{HEAD}, "id": 7, "result": {{}}}}', RpcMessage(id=None, method=None)),
        (f'{{{HEAD}, "id": 7, "error": {{}}}}', RpcMessage(id=None, method=None)),
        (f'{{{HEAD}, "id": 7, "method": "ping", "result": {{}}}}', RpcMessage(id=7, method="ping")),
    ],
)
def test_parsed_reads_each_kind_of_message(body: str, message: RpcMessage) -> None:
    """Messages are requests, notifications, which have no id, and responses, which have no method."""
    assert parsed(body.encode()) == message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", RpcCode.PARSE_ERROR),
        ("{", RpcCode.PARSE_ERROR),
        (f'{{{HEAD}, "id": 7, "method": "ping", "params": {{"a": NaN}}}}', RpcCode.PARSE_ERROR),
        ("[]", RpcCode.INVALID_REQUEST),
        ("null", RpcCode.INVALID_REQUEST),
        ('{"jsonrpc": "1.0", "id": 7, "method": "ping"}', RpcCode.INVALID_REQUEST),
        ('{"id": 7, "method": "ping"}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": 7}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": 7, "method": null}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": 7, "method": 5, "result": {{}}}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": null, "method": "ping"}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": true, "method": "ping"}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": 1.5, "method": "ping"}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": {MOST_ID}, "method": "ping"}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": {-MOST_ID}, "method": "ping"}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": 7, "method": "ping", "params": null}}', RpcCode.INVALID_REQUEST),
        (f'{{{HEAD}, "id": 7, "method": "ping", "params": []}}', RpcCode.INVALID_REQUEST),
    ],
)
def test_parsed_refuses_what_is_no_message(body: str, code: RpcCode) -> None:
    """The error has the protocol's code, and 400."""
    with pytest.raises(RpcError) as refused:
        parsed(body.encode())
    assert (refused.value.code, refused.value.status, refused.value.data) == (code, 400, None)


@pytest.mark.parametrize(
    ("message_id", "data", "rest"),
    [
        (None, None, {}),
        (0, {}, {"id": 0}),
        ("", {"supported": []}, {"id": "", "error": {"code": -32600, "message": "no", "data": {"supported": []}}}),
    ],
)
def test_error_body_has_the_id_that_was_read(message_id: Any, data: Any, rest: dict[str, Any]) -> None:
    """An id of 0 or an empty one is kept; data is present only if there is some."""
    body = error_body(RpcCode.INVALID_REQUEST, "no", message_id=message_id, data=data)
    assert body == {"jsonrpc": "2.0", "error": {"code": -32600, "message": "no"}} | rest
