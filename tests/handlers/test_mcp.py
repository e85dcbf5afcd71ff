"""The protocol's messages: each revision's requirements for a server, and its refusals."""

import json
from typing import Any, Final

import pytest

from tests.handlers.conftest import NewWorld
from tests.handlers.world import PRODUCTION, Account, Answer, World

MCP: Final = "/mcp"
NEWEST: Final = "2026-07-28"
OLDER: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
SUPPORTED: Final = [NEWEST, *OLDER]

META: Final = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientInfo": {"name": "a test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

every_older = pytest.mark.parametrize("revision", OLDER)


def newest(world: World, key: str, method: str, params: Any = None, *, meta: Any = None, headers: Any = None) -> Answer:
    """Send a request of 2026-07-28, with its headers; those that are None in `headers` are left out."""
    params = {**(params or {}), "_meta": META if meta is None else meta}
    given = {"mcp-protocol-version": NEWEST, "mcp-method": method}
    if method == "tools/call":
        given["mcp-name"] = params["name"]
    sent = {name: value for name, value in {**given, **(headers or {})}.items() if value is not None}
    return world.post(MCP, token=key, json=request(method, params), headers=sent)


def older(world: World, key: str, method: str, params: Any = None, *, revision: str | None = OLDER[0]) -> Answer:
    headers = {} if revision is None else {"mcp-protocol-version": revision}
    return world.post(MCP, token=key, json=request(method, params or {}), headers=headers)


def request(method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def code(answer: Answer) -> tuple[int, int]:
    return answer.status, answer.json["error"]["code"]


class TestNewest:
    def test_discovery_says_what_the_server_is(self, world: World, ada: Account) -> None:
        """The answer has its revisions, capabilities and instructions, fresh for five minutes, for this key alone."""
        answer = newest(world, ada.key, "server/discover")
        assert answer.status == 200
        result = answer.json["result"]
        assert result.pop("instructions").startswith("Agent Talk")
        assert result == {
            "resultType": "complete",
            "supportedVersions": SUPPORTED,
            "capabilities": {"tools": {}},
            "ttlMs": 300_000,
            "cacheScope": "private",
            "_meta": {
                "io.modelcontextprotocol/serverInfo": {"name": "agent-talk", "title": "Agent Talk", "version": "0.1.0"}
            },
        }

    def test_results_have_their_type_and_freshness(self, world: World, ada: Account) -> None:
        """Every result is complete and names the server; lists contain their freshness."""
        listed = newest(world, ada.key, "tools/list").json["result"]
        called = newest(world, ada.key, "tools/call", {"name": "list_voices"}).json["result"]
        for result in (listed, called):
            assert result["resultType"] == "complete"
            assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "agent-talk"
        assert (listed["ttlMs"], listed["cacheScope"]) == (300_000, "private")
        assert "ttlMs" not in called

    @pytest.mark.parametrize("method", ["initialize", "ping", "resources/list", "logging/setLevel", "no/such"])
    def test_unknown_methods_are_404(self, world: World, ada: Account, method: str) -> None:
        """Methods of older revisions alone are unknown in this one."""
        assert code(newest(world, ada.key, method)) == (404, -32601)

    @pytest.mark.parametrize(
        "headers",
        [
            {"mcp-protocol-version": None},
            {"mcp-protocol-version": "2025-11-25"},
            {"mcp-method": None},
            {"mcp-method": "tools/list"},
            {"mcp-method": "Tools/Call"},
            {"mcp-name": None},
            {"mcp-name": "create_memo"},
            {"mcp-name": "=?base64?Y3JlYXRlX21lbW8=?="},
            {"mcp-name": "=?base64?bm90 base64?="},
            {"mcp-name": "=?base64?/w==?="},
            {"mcp-name": "=?base64?bGlzdF92b2ljZXM=xx"},
            {"mcp-name": "xxxxxxxxxbGlzdF92b2ljZXM=?="},
        ],
    )
    def test_headers_that_differ_are_refused(self, world: World, ada: Account, headers: Any) -> None:
        """Headers must repeat the body, since intermediaries use them."""
        answer = newest(world, ada.key, "tools/call", {"name": "list_voices"}, headers=headers)
        assert code(answer) == (400, -32020)

    def test_an_encoded_name_is_decoded(self, world: World, ada: Account) -> None:
        """Names that are not plain ASCII are in base64."""
        headers = {"mcp-name": "=?base64?bGlzdF92b2ljZXM=?="}
        answer = newest(world, ada.key, "tools/call", {"name": "list_voices"}, headers=headers)
        assert answer.json["result"]["isError"] is False

    @pytest.mark.parametrize("version", ["2027-01-01", "2024-11-05", "1900-01-01", "", "2025-11-25"])
    def test_versions_without_support_are_refused(self, world: World, ada: Account, version: str) -> None:
        """The refusal lists the supported revisions; `initialize` with such a version is refused too."""
        meta = {**META, "io.modelcontextprotocol/protocolVersion": version}
        answer = newest(world, ada.key, "tools/list", meta=meta, headers={"mcp-protocol-version": version})
        assert code(answer) == (400, -32022)
        assert answer.json["error"]["data"] == {"supported": SUPPORTED, "requested": version}

    @pytest.mark.parametrize(
        "meta",
        [
            {},
            {"io.modelcontextprotocol/protocolVersion": 2026},
            {"io.modelcontextprotocol/protocolVersion": NEWEST},
            {"io.modelcontextprotocol/protocolVersion": NEWEST, "io.modelcontextprotocol/clientCapabilities": []},
        ],
    )
    def test_requests_without_their_metadata_are_refused(self, world: World, ada: Account, meta: Any) -> None:
        """A version and capabilities belong to each request."""
        assert code(newest(world, ada.key, "tools/list", meta=meta)) == (400, -32602)

    @pytest.mark.parametrize(
        "params",
        [
            {"name": "no_such_tool"},
            {"name": "list_voices", "arguments": []},
            {"name": "list_voices", "arguments": "text"},
        ],
    )
    def test_malformed_calls_are_protocol_errors(self, world: World, ada: Account, params: Any) -> None:
        """An unknown tool is an error of the protocol, and so are arguments that are no object."""
        assert code(newest(world, ada.key, "tools/call", params)) == (400, -32602)

    def test_a_cursor_is_refused(self, world: World, ada: Account) -> None:
        """All tools are on one page."""
        assert code(newest(world, ada.key, "tools/list", {"cursor": "x"})) == (400, -32602)

    def test_responses_are_refused(self, world: World, ada: Account) -> None:
        """Clients of this revision send none."""
        body = {"jsonrpc": "2.0", "id": 1, "result": {}}
        answer = world.post(MCP, token=ada.key, json=body, headers={"mcp-protocol-version": NEWEST})
        assert code(answer) == (400, -32600)


class TestOlder:
    @every_older
    def test_initialize_agrees_on_the_clients_revision(self, world: World, ada: Account, revision: str) -> None:
        """No session begins: the answer has no id of one."""
        answer = older(world, ada.key, "initialize", {"protocolVersion": revision}, revision=None)
        assert answer.status == 200
        result = answer.json["result"]
        assert result.pop("instructions").startswith("Agent Talk")
        assert result == {
            "protocolVersion": revision,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "agent-talk", "title": "Agent Talk", "version": "0.1.0"},
        }
        assert "mcp-session-id" not in answer.headers

    @pytest.mark.parametrize("asked", ["2024-11-05", "2030-01-01", NEWEST, "x"])
    def test_initialize_offers_its_newest_when_unknown(self, world: World, ada: Account, asked: str) -> None:
        """The client decides whether it continues with that revision."""
        answer = older(world, ada.key, "initialize", {"protocolVersion": asked}, revision=None)
        assert answer.json["result"]["protocolVersion"] == "2025-11-25"

    def test_initialize_without_a_version_is_refused(self, world: World, ada: Account) -> None:
        """Without a version there is no revision to agree on."""
        assert code(older(world, ada.key, "initialize", revision=None)) == (400, -32602)

    @every_older
    def test_ping_is_answered(self, world: World, ada: Account, revision: str) -> None:
        """A ping gets an empty result."""
        assert older(world, ada.key, "ping", revision=revision).json["result"] == {}

    def test_the_oldest_needs_no_header(self, world: World, ada: Account) -> None:
        """Without a header the revision is 2025-03-26: no structured results, no links, no output schemas."""
        tools = older(world, ada.key, "tools/list", revision=None).json["result"]["tools"]
        assert all(tool.keys() == {"name", "description", "inputSchema", "annotations"} for tool in tools)
        said = {"name": "create_memo", "arguments": {"text": "Hello", "voice": "sam"}}
        result = older(world, ada.key, "tools/call", said, revision=None).json["result"]
        assert result.keys() == {"content", "isError"}
        assert [block["type"] for block in result["content"]] == ["text"]

    @pytest.mark.parametrize("version", ["2024-11-05", "2027-01-01", "x"])
    def test_unknown_headers_are_refused(self, world: World, ada: Account, version: str) -> None:
        """A revision that this server does not support is 400, and the answer lists the supported ones."""
        answer = older(world, ada.key, "tools/list", revision=version)
        assert code(answer) == (400, -32022)
        assert answer.json["error"]["data"]["supported"] == SUPPORTED

    @every_older
    def test_errors_of_requests_are_answered_with_200(self, world: World, ada: Account, revision: str) -> None:
        """These clients take a 4xx for a broken connection, and lose its error."""
        for method, params, expected in (
            ("server/discover", {}, -32601),
            ("resources/list", {}, -32601),
            ("tools/call", {"name": "no_such_tool"}, -32602),
            ("tools/call", {}, -32602),
        ):
            assert code(older(world, ada.key, method, params, revision=revision)) == (200, expected)

    @every_older
    @pytest.mark.parametrize(
        "body",
        [
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}},
            {"jsonrpc": "2.0", "id": 1, "result": {}},
            {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "no"}},
        ],
    )
    def test_what_expects_no_answer_gets_none(self, world: World, ada: Account, revision: str, body: Any) -> None:
        """Notifications and responses are accepted: 202, with no body."""
        answer = world.post(MCP, token=ada.key, json=body, headers={"mcp-protocol-version": revision})
        assert (answer.status, answer.body) == (202, b"")


class TestForm:
    @pytest.mark.parametrize("body", ["", "{", "nul", "\x00", '{"a": NaN}', '"\\ud800"', "[" * 10_000, b"\xff{}"])
    def test_what_is_no_json_is_a_parse_error(self, world: World, ada: Account, body: Any) -> None:
        """The error has no id, since none could be read."""
        answer = world.post(MCP, token=ada.key, body=body)
        assert answer.status == 400
        assert "id" not in answer.json
        assert answer.json["error"]["code"] in (-32700, -32600)

    @pytest.mark.parametrize(
        "body",
        [
            1,
            "text",
            None,
            {},
            {"jsonrpc": "1.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "id": 1},
            {"jsonrpc": "2.0", "id": None, "method": "ping"},
            {"jsonrpc": "2.0", "id": True, "method": "ping"},
            {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
            {"jsonrpc": "2.0", "id": {}, "method": "ping"},
            {"jsonrpc": "2.0", "id": 2**63, "method": "ping"},
            {"jsonrpc": "2.0", "id": 1, "method": 5},
            {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []},
        ],
    )
    def test_what_is_no_message_is_refused(self, world: World, ada: Account, body: Any) -> None:
        """The error has no id, whether or not the body has one."""
        answer = world.post(MCP, token=ada.key, body=json.dumps(body))
        assert code(answer) == (400, -32600)
        assert "id" not in answer.json

    @pytest.mark.parametrize("revision", [None, *SUPPORTED])
    def test_batches_are_refused(self, world: World, ada: Account, revision: str | None) -> None:
        """In every revision a POST has one message."""
        headers = {} if revision is None else {"mcp-protocol-version": revision}
        body = [request("ping", {}), request("ping", {})]
        assert code(world.post(MCP, token=ada.key, json=body, headers=headers)) == (400, -32600)

    @pytest.mark.parametrize("message_id", [0, -1, 2**53, "", "a-1", "é"])
    def test_the_id_comes_back_as_it_was_sent(self, world: World, ada: Account, message_id: Any) -> None:
        """A number stays a number, and a text a text."""
        answer = world.post(MCP, token=ada.key, json={"jsonrpc": "2.0", "id": message_id, "method": "ping"})
        assert (answer.status, answer.json["id"]) == (200, message_id)

    def test_a_session_id_is_ignored(self, world: World, ada: Account) -> None:
        """This server has no sessions, so no session id is unknown."""
        headers = {"mcp-session-id": "1", "last-event-id": "2"}
        assert world.post(MCP, token=ada.key, json=request("ping", {}), headers=headers).json["result"] == {}


class TestCallers:
    @pytest.mark.parametrize("body", ["{}", "[]", '{"jsonrpc": "1.0"}'])
    def test_credentials_come_before_the_message(self, world: World, body: str) -> None:
        """Only an unparsable body is refused before the credentials are checked."""
        assert world.post(MCP, body=body).status == 401
        assert world.post(MCP, body=body, token="at_live_" + "x" * 43).status == 401
        assert world.post(MCP, body="{").json["error"]["code"] == -32700

    @pytest.mark.parametrize("token", [None, "at_live_unknown", "at_live_" + "A" * 43, "a.session.token"])
    def test_unknown_keys_are_401(self, world: World, token: str | None) -> None:
        """Every message is 401, a notification too, with the scheme in `WWW-Authenticate`."""
        for body in (request("ping", {}), {"jsonrpc": "2.0", "method": "notifications/initialized"}):
            answer = world.post(MCP, token=token, json=body)
            expected = "MISSING_API_KEY" if token is None else "INVALID_API_KEY"
            assert (answer.status, answer.error["code"]) == (401, expected)
            assert answer.headers["www-authenticate"] == "Bearer"

    def test_a_session_is_no_key(self, world: World, ada: Account) -> None:
        """A session is refused in a header and in a cookie: with a cookie another site's page could make memos."""
        assert world.post(MCP, token=ada.session, json=request("ping", {})).status == 401
        cookies = [f"auth_token={ada.session}"]
        assert world.post(MCP, cookies=cookies, json=request("ping", {})).status == 401

    def test_a_revoked_key_is_told_by_the_protocol(self, world: World, ada: Account) -> None:
        """A call gets a tool's error result, any other method an error with the status and code of HTTP."""
        world.delete(f"/api/keys/{ada.key_id}", token=ada.session)
        listed = newest(world, ada.key, "tools/list")
        assert code(listed) == (403, -32603)
        assert listed.json["error"]["data"]["code"] == "REVOKED_KEY"
        called = newest(world, ada.key, "tools/call", {"name": "list_voices"}).json["result"]
        assert called["isError"]
        assert called["content"][0]["text"].startswith("REVOKED_KEY: API key has been revoked")

    def test_an_outage_is_told_by_the_protocol(self, world: World, ada: Account) -> None:
        """The error has the status of HTTP and a wait, and is never 401."""
        newest(world, ada.key, "tools/list")
        world.is_down = True
        answer = newest(world, ada.key, "tools/list")
        assert code(answer) == (503, -32603)
        assert answer.json["error"]["data"]["code"] == "SERVICE_UNAVAILABLE"
        assert answer.headers["retry-after"] == "5"

    def test_the_log_names_key_and_error(self, world: World, ada: Account, logs: Any) -> None:
        """The line of a call names its key, its owner, and the code of a tool's error."""
        newest(world, ada.key, "tools/call", {"name": "get_memo", "arguments": {"id": "unknown"}})
        (line,) = [line for line in logs.lines if line["message"] == "request"]
        assert (line["route"], line["status"], line["error"]) == (MCP, 200, "MEMO_NOT_FOUND")
        assert (line["key_id"], line["user_id"]) == (ada.key_id, ada.id)

    def test_metrics_count_a_tools_error_as_http_does(
        self, new_world: NewWorld, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A limit, an outage and a wrong argument are answered 200, and counted by their status in the HTTP API."""
        world = new_world({"METRICS": "1"})
        ada = world.sign_up()
        world.spend(ada, 100)
        said = {"name": "create_memo", "arguments": {"text": "Hello", "voice": "sam"}}
        newest(world, ada.key, "tools/call", said)
        newest(world, ada.key, "tools/call", {"name": "get_memo"})
        world.is_down = True
        newest(world, ada.key, "tools/call", said)
        limit, wrong, outage = [json.loads(line) for line in capsys.readouterr().out.splitlines()][1:]
        assert (limit["status"], limit["LimitRefusals"]) == (200, [1])
        assert (wrong["status"], wrong["ClientErrors"]) == (200, [1])
        assert (outage["status"], outage["StoreErrors"]) == (200, [1])


class TestOrigins:
    @pytest.mark.parametrize("origin", ["https://evil.example.org", "null", "http://localhost:6274", "x"])
    def test_a_foreign_origin_is_403(self, world: World, ada: Account, origin: str) -> None:
        """A page that resolves its own name to this server's address has such an origin."""
        answer = world.post(MCP, token=ada.key, json=request("ping", {}), headers={"origin": origin})
        assert (answer.status, answer.error["code"]) == (403, "FORBIDDEN")

    def test_own_and_configured_origins_may_call(self, new_world: NewWorld) -> None:
        """The API's own origin may call, and so may the origins of CORS_ORIGINS."""
        world = new_world(PRODUCTION)
        ada = world.sign_up()
        for origin in ("https://api.example.org", "https://app.example.org"):
            answer = world.post(MCP, token=ada.key, json=request("ping", {}), headers={"origin": origin})
            assert answer.status == 200, origin

    def test_preflights_allow_the_protocols_headers(self, new_world: NewWorld) -> None:
        """A page of a configured origin may send all headers of the newest revision."""
        asked = "authorization, content-type, mcp-protocol-version, mcp-method, mcp-name"
        headers = {
            "origin": "https://app.example.org",
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
        }
        assert new_world(PRODUCTION).send("OPTIONS", MCP, headers=headers).status == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "PATCH"])
    def test_other_methods_are_405(self, world: World, ada: Account, method: str) -> None:
        """There is no stream to open and no session to end."""
        answer = world.send(method, MCP, token=ada.key)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_no_authorization_server_is_a_clean_404(world: World) -> None:
    """A client that looks for one gets a 404 in the envelope, and continues with its key."""
    for path in ("oauth-protected-resource", "oauth-protected-resource/mcp", "oauth-authorization-server"):
        answer = world.get(f"/.well-known/{path}")
        assert answer.refusal[:2] == (404, "NOT_FOUND")
