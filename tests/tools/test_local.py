"""Local use: one gateway for all functions, and one function for one event."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tools.local import local_gateway

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "events"


def invoke(*arguments: str, memory_file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "tools.local", "invoke", *arguments],
        cwd=ROOT,
        env={"AGENT_TALK_MEMORY_FILE": str(memory_file), "SESSION_SECRET": "s" * 32},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_a_second_invocation_sees_what_the_first_wrote(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    signed_up = answer(invoke("users", str(EVENTS / "signup.json"), memory_file=rows))
    logged_in = answer(invoke("users", str(EVENTS / "login.json"), memory_file=rows))
    assert (signed_up["statusCode"], logged_in["statusCode"]) == (201, 200)
    assert json.loads(logged_in["body"])["user"] == json.loads(signed_up["body"])["user"]


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
@pytest.mark.parametrize("path", ["/nowhere", "/docsx", "/api/v1/authx"])
async def test_an_unknown_path_is_answered_in_the_envelope(path: str) -> None:
    async with gateway_client() as client:
        response = await client.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.anyio
async def test_the_documentation_page_names_no_third_party_host() -> None:
    async with gateway_client() as client:
        page = await client.get("/docs")
        schema = await client.get("/openapi.json")
    assert page.status_code == 200
    assert "://" not in page.text
    assert "'self'" in page.headers["content-security-policy"]
    assert {"/api/v1/memo", "/api/keys", "/health", "/api/v1/usage"} <= set(schema.json()["paths"])
