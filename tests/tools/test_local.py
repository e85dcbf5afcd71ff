"""Local use: one gateway for all functions, and one function for one event."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.core.settings import Settings, WebSettings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from shared.stores.opening import OpenedStore
from tests.events import http_event
from tests.handlers.world import kept_logs
from tests.support import FakeClock
from tools.local import local_gateway, verify
from tools.serving import Impossible

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "events"


def invoke(*arguments: str, memory_file: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "tools.local", "invoke", *arguments],
        cwd=ROOT,
        env={"AGENT_TALK_MEMORY_FILE": str(memory_file), "SESSION_SECRET": "s" * 32, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.mark.thorough
def test_a_second_invocation_sees_what_the_first_wrote(tmp_path: Path) -> None:
    """Each invocation prints its answer alone."""
    rows = tmp_path / "rows.json"
    signed_up = answer(invoke("users", str(EVENTS / "signup.json"), memory_file=rows))
    second = invoke("users", str(EVENTS / "login.json"), memory_file=rows)
    logged_in = answer(second)
    assert second.stderr == ""
    assert (signed_up["statusCode"], logged_in["statusCode"]) == (201, 200)
    assert json.loads(logged_in["body"])["user"] == json.loads(signed_up["body"])["user"]


@pytest.mark.thorough
def test_invocation_says_a_long_text_before_it_ends(tmp_path: Path) -> None:
    """The invocation answers `processing`. The next one, in another process, finds the memo ready."""
    rows, env = tmp_path / "rows.json", {"AUDIO_DIR": str(tmp_path / "audio")}
    signed_up = answer(invoke("users", str(EVENTS / "signup.json"), memory_file=rows))
    key = {"authorization": f"Bearer {json.loads(signed_up['body'])['apiKey']['key']}"}

    def memos(method: str, path: str, **event: Any) -> Any:
        file = tmp_path / "event.json"
        file.write_text(json.dumps(http_event(method, path, headers=key, **event)))
        return json.loads(answer(invoke("memos", str(file), memory_file=rows, **env))["body"])

    text = "The book is on the table near the window. " * 50
    made = memos("POST", "/api/v1/memo", body=json.dumps({"text": text, "voice": "sam"}))
    assert made["audio"]["status"] == "processing"
    assert memos("GET", f"/api/v1/memo/{made['id']}")["audio"]["status"] == "ready"


@pytest.mark.thorough
def test_an_event_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    done = invoke("users", str(tmp_path / "absent.json"), memory_file=tmp_path / "rows.json")
    assert done.returncode == 2
    assert "cannot read the event" in done.stderr


def gateway_client() -> httpx.AsyncClient:
    store = MemoryStore()
    gateway = local_gateway({}, lambda settings: Services.on(store, settings))
    return httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://localhost")


@pytest.mark.anyio
async def test_the_gateway_serves_all_functions_on_one_store() -> None:
    async with gateway_client() as client:
        account = (await client.post("/api/v1/auth/signup", json={"email": "a@b.co", "password": "long enough"})).json()
        key = {"Authorization": f"Bearer {account['apiKey']['key']}"}
        made = await client.post("/api/v1/memo", json={"text": "Hello", "voice": "adam"}, headers=key)
        listed = await client.get("/api/v1/memos", headers=key)
        logs = await client.get("/api/v1/usage", headers=key)
        audio = await client.get(made.json()["audio"]["url"])
    assert listed.json()["memos"] == [made.json()]
    assert {log["action"] for log in logs.json()["logs"]} >= {"memo_created", "user_signup"}
    assert audio.headers["content-type"] == "audio/mpeg"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/nowhere", "/docsx", "/api/v1/authx", "/static-offline-docs/nothing.js"])
async def test_an_unknown_path_is_answered_in_the_envelope(path: str) -> None:
    async with gateway_client() as client:
        response = await client.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.anyio
@pytest.mark.thorough
async def test_the_documentation_page_names_no_third_party_host() -> None:
    async with gateway_client() as client:
        page = await client.get("/docs")
        schema = await client.get("/openapi.json")
    assert page.status_code == 200
    assert "://" not in page.text
    assert "'self'" in page.headers["content-security-policy"]
    assert {"/api/v1/memo", "/api/keys", "/health", "/api/v1/usage"} <= set(schema.json()["paths"])


@pytest.mark.anyio
@pytest.mark.thorough
async def test_docs_ask_for_one_credential_and_say_how_to_get_it() -> None:
    """The first paragraph tells a newcomer how to get a key, and there is one field to paste it into."""
    async with gateway_client() as client:
        schema = (await client.get("/openapi.json")).json()
    assert "/api/v1/auth/signup" in schema["info"]["description"].splitlines()[0]
    assert list(schema["components"]["securitySchemes"]) == ["credential"]
    asked = [operation.get("security") for item in schema["paths"].values() for operation in item.values()]
    assert {str(security) for security in asked} == {"None", "[{'credential': []}]"}


EXECUTED = [
    ("post", "/api/v1/auth/signup", None, 201),
    ("post", "/api/v1/auth/login", None, 200),
    ("post", "/api/v1/demo", None, 201),
    ("post", "/api/v1/memo", "key", 201),
    ("post", "/api/keys", "session", 201),
    ("post", "/api/v1/dashboard/keys", "session", 400),  # the plan has two keys, and both are made
    ("post", "/api/keys/verify", "session", 200),
    ("post", "/api/v1/auth/change-password", "session", 200),
    ("get", "/api/v1/billing/tiers/{tier}", None, 200),
    ("get", "/audio/{file}", None, 200),
]
"""Requests that the page prefills completely, in an order for a newcomer, and their statuses."""


@pytest.mark.anyio
@pytest.mark.thorough
async def test_docs_prefilled_values_are_accepted() -> None:
    """The page's prefilled requests succeed unchanged, one after another."""
    async with gateway_client() as client:
        schema = (await client.get("/openapi.json")).json()
        tokens: dict[str | None, str] = {}
        answered = []
        for method, path, credential, _ in EXECUTED:
            operation = schema["paths"][path][method]
            headers = {"Authorization": f"Bearer {tokens[credential]}"} if credential else {}
            url = prefilled_path(path, operation)
            answer = await client.request(method, url, json=prefilled(schema, operation), headers=headers)
            answered.append((method, path, credential, answer.status_code))
            if path.endswith("/signup"):
                tokens = {"key": answer.json()["apiKey"]["key"], "session": answer.json()["token"]}
    assert answered == EXECUTED


@pytest.mark.anyio
@pytest.mark.thorough
async def test_docs_offer_what_can_be_chosen() -> None:
    """Voices, actions, tiers, roles, buckets, groups and formats can be chosen from; every body has an example."""
    async with gateway_client() as client:
        schema = (await client.get("/openapi.json")).json()
    choices = {
        parameter["name"]
        for item in schema["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
        if "enum" in parameter["schema"]
    }
    assert choices == {"voice", "action", "tier", "role", "bucket", "groupBy", "format"}
    assert schema["components"]["schemas"]["CreateMemo"]["properties"]["voice"]["enum"][:2] == ["rachel", "domi"]
    bodies = [
        model_of(schema, operation)
        for item in schema["paths"].values()
        for operation in item.values()
        if "requestBody" in operation
    ]
    assert [model for model in bodies if not model.get("examples")] == []


def model_of(schema: Any, operation: Any) -> Any:
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    reference = body.get("$ref") or next(option["$ref"] for option in body["anyOf"] if "$ref" in option)
    return schema["components"]["schemas"][reference.rpartition("/")[2]]


def prefilled(schema: Any, operation: Any) -> Any:
    """Return the body that the page sends; None: the route reads none."""
    return model_of(schema, operation)["examples"][0] if "requestBody" in operation else None


def prefilled_path(path: str, operation: Any) -> str:
    examples = {given["name"]: given["schema"].get("examples", [""])[0] for given in operation.get("parameters", [])}
    return path.format(**examples)


@pytest.mark.anyio
async def test_gateway_leads_from_the_root_to_the_console() -> None:
    """`GET /` is a redirect to the console, not a bare 404."""
    async with gateway_client() as client:
        response = await client.get("/", follow_redirects=True)
    assert (response.status_code, response.url.path) == (200, "/app")


@pytest.mark.anyio
@pytest.mark.parametrize("target", ["http://localhost:8000", "HTTPS://other.example", "http://[::1", "http://"])
async def test_gateway_reads_an_absolute_form_target(target: str) -> None:
    """Clients that take the gateway for a proxy send `GET http://host/path`: the path counts, whatever the host is."""
    store = MemoryStore()
    gateway = local_gateway({}, lambda settings: Services.on(store, settings))
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{target}/health/live",
        "query_string": b"",
        "headers": [],
    }
    await gateway(scope, receive, send)
    assert sent[0]["status"] == 200


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("from_stdin", [True, False])
@pytest.mark.thorough
def test_invoke_reads_an_event_in_any_unicode_encoding(tmp_path: Path, encoding: str, *, from_stdin: bool) -> None:
    """A BOM, UTF-16 and non-ASCII text under the C locale are read: editors and shells write them."""
    event = json.loads((EVENTS / "signup.json").read_text())
    event["body"] = json.dumps({"email": "josé@example.org", "password": "long enough"}, ensure_ascii=False)
    event["isBase64Encoded"] = False
    file = tmp_path / "event.json"
    file.write_bytes(json.dumps(event, ensure_ascii=False).encode(encoding))
    done = subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "tools.local", "invoke", "users", "-" if from_stdin else str(file)],
        cwd=ROOT,
        env={"AGENT_TALK_MEMORY_FILE": str(tmp_path / "rows.json"), "LC_ALL": "C", "PYTHONUTF8": "0"},
        input=file.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)["body"])["user"]["email"] == "josé@example.org"


RUN = "import sys; from tools.local import main; sys.exit(main(['run', '--port', '0']))"
"""`make run` on a free port, also in a shell's background, where SIGINT is ignored."""


def run_refused(port: int, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "tools.local", "run", "--port", str(port)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.thorough
def test_run_announces_nothing_when_the_port_is_taken() -> None:
    """`answers on` is printed once the port accepts connections, never before."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_refused(port)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"port {port} is taken by another program: stop that one, or choose another port, as by PORT=9000\n"
    )


@pytest.mark.thorough
def test_run_refuses_what_is_no_port() -> None:
    done = run_refused(99_999)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a port is a number from 0 to 65535" in done.stderr


@pytest.mark.thorough
def test_run_stops_quietly_when_interrupted() -> None:
    """Ctrl-C ends the server with exit status 0 and without a traceback."""
    command = [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + RUN]
    with subprocess.Popen(command, cwd=ROOT, env={}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ours:  # noqa: S603
        assert ours.stdout is not None
        while "answers on" not in ours.stdout.readline():
            assert ours.poll() is None
        ours.send_signal(signal.SIGINT)
        _, said = ours.communicate()
    assert ours.returncode == 0
    assert "Traceback" not in said


@pytest.mark.thorough
def test_run_ends_when_the_store_is_unreachable() -> None:
    """An unusable store is reported before any request is served."""
    done = run_refused(0, HYPR_URL="http://127.0.0.1:9", HYPERMICRO_API_KEY="unused")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the store cannot be used" in done.stderr


async def _open_to_all() -> bool:
    return True


@pytest.mark.anyio
async def test_run_logs_a_store_that_is_open_to_all() -> None:
    """`make run` warns of a server that makes keys without credentials, as a deployed container does."""
    opened = OpenedStore(store=MemoryStore(), clock=FakeClock(), is_open_to_all=_open_to_all)
    with kept_logs() as logs:
        await verify(opened, Settings())
    (line,) = [line for line in logs.lines if line["level"] == "ERROR"]
    assert "GET /api/auth" in line["message"]


@pytest.mark.anyio
async def test_run_refuses_an_open_store_in_production() -> None:
    """No request is served from rows that any client can write."""
    opened = OpenedStore(store=MemoryStore(), clock=FakeClock(), is_open_to_all=_open_to_all)
    with pytest.raises(Impossible, match="GET /api/auth"):
        await verify(opened, Settings(edge=WebSettings(production=True)))
