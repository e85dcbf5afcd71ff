"""The envelope of OpenAI's errors, at ASGI: each status, bodies in parts, and answers that are not rewritten."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from shared.web.middleware import Message, Receive, Scope, Send
from shared.web.openai_errors import OpenAiErrors

pytestmark = pytest.mark.anyio

SPEECH = "/v1/audio/speech"
OURS = json.dumps({"error": {"code": "OURS", "message": "Ours", "details": {"field": "text"}}}).encode()


async def answered(
    status: int, *, path: str = SPEECH, root: str | None = None, parts: Sequence[bytes] = (OURS,)
) -> tuple[dict[str, str], bytes]:
    """Return headers and body of an answer through the middleware. Fails unless it begins once and ends once."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 same for all requests
        headers = [(b"content-length", str(len(b"".join(parts))).encode()), (b"x-kept", b"1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, part in enumerate(parts, 1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path} | ({} if root is None else {"root_path": root})
    await OpenAiErrors(app)(scope, receive, send)
    start, *bodies = sent
    assert (start["type"], start["status"]) == ("http.response.start", status)
    assert [bool(body.get("more_body")) for body in bodies] == [True] * (len(bodies) - 1) + [False]
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return headers, b"".join(body["body"] for body in bodies)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (409, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
    ],
)
async def test_error_has_openais_type_and_says_whether_to_retry(status: int, kind: str) -> None:
    """A retry helps after our own failures and while a first request still runs, and after no other refusal."""
    headers, body = await answered(status)
    assert json.loads(body) == {"error": {"message": "Ours", "type": kind, "param": "input", "code": "OURS"}}
    assert headers["content-length"] == str(len(body))
    assert headers["x-kept"] == "1"
    assert headers.get("x-should-retry") == (None if status in (409, 500, 502, 503) else "false")


@pytest.mark.parametrize("root", [None, "", "/prod"])
async def test_error_is_rewritten_behind_a_stage(root: str | None) -> None:
    """The path counts without the prefix of a gateway's stage."""
    _, body = await answered(400, path=f"{root or ''}/v1/models", root=root)
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("details", [{}, {"details": {"field": "voice"}}, {"details": {"limit": 3}}])
async def test_error_names_the_field_if_there_is_one(details: dict[str, Any]) -> None:
    """Fields that OpenAI names likewise keep their names."""
    _, body = await answered(400, parts=[json.dumps({"error": {"code": "C", "message": "M", **details}}).encode()])
    assert json.loads(body)["error"]["param"] == details.get("details", {}).get("field")


async def test_error_in_parts_is_rewritten_once() -> None:
    """A body may come in several messages: the client gets one answer with the right length."""
    headers, body = await answered(400, parts=[OURS[:5], OURS[5:9], OURS[9:]])
    assert json.loads(body)["error"]["code"] == "OURS"
    assert headers["content-length"] == str(len(body))


async def test_error_without_a_body_stays_without_one() -> None:
    """An answer to HEAD has none: its length, and its header against retries, are those of the answer to GET."""
    headers, body = await answered(404, parts=[b""])
    assert (body, headers["content-length"], headers["x-should-retry"]) == (b"", "0", "false")


@pytest.mark.parametrize(("status", "path"), [(200, SPEECH), (302, SPEECH), (400, "/v1/audio"), (503, "/api/v1/memos")])
async def test_other_answers_pass_unchanged(status: int, path: str) -> None:
    """An answer that is no error, or is of another path, is passed on byte for byte."""
    headers, body = await answered(status, path=path, parts=[b"a", b"b"])
    assert (headers, body) == ({"content-length": "2", "x-kept": "1"}, b"ab")
