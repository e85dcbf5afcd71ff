"""The skill for agents: its form, its commands on a server, and the cases that trigger it."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
import yaml

from shared.core.settings import Settings
from shared.services import Services
from shared.stores.memory.store import MemoryStore
from tests.docs.pages import ROOT, blocks_of
from tests.live.processes import free_port
from tests.support import SECRET, FakeClock, cheap_passwords
from tools.local import local_gateway

FOLDER: Final = ROOT / "docs" / "agent-talk"
SKILL: Final = (FOLDER / "SKILL.md").read_text()


@contextmanager
def served() -> Iterator[str]:
    """Serve all functions on a free port, in memory, and yield the URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    store = MemoryStore(clock=FakeClock())
    environ = {"AGENT_TALK_STORE": "memory", "SESSION_SECRET": SECRET, "PUBLIC_URL": url, "SPEECH": "simulated"}

    def build(settings: Settings) -> Services:
        return Services.on(store, settings, passwords=cheap_passwords())

    app: Any = local_gateway(environ, build)
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=partial(server.run), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()


def front_matter() -> dict[str, str]:
    match = re.match(r"---\n(.*?)\n---\n", SKILL, re.DOTALL)
    assert match is not None
    found: dict[str, str] = yaml.safe_load(match[1])
    return found


def test_skill_has_the_form_that_agents_load() -> None:
    """Its name is its folder's, and its description contains its use, in at most 1,024 characters."""
    found = front_matter()
    assert found.keys() == {"name", "description"}
    assert found["name"] == FOLDER.name
    assert re.fullmatch(r"[a-z0-9-]{1,64}", found["name"])
    assert len(found["description"]) <= 1024
    assert "Use when" in found["description"]
    assert len(SKILL.splitlines()) < 500


def test_evaluations_are_balanced_and_whole() -> None:
    """There are prompts that trigger the skill and prompts that do not, each with its expectation."""
    cases = json.loads((FOLDER / "evaluations.json").read_text())
    assert all(case.keys() == {"prompt", "triggers", "expects"} for case in cases)
    assert {case["triggers"] for case in cases} == {True, False}
    assert 5 <= len(cases) <= 10


def test_skills_commands_run_as_written(tmp_path: Path) -> None:
    """One shell runs all of them: a memo is made, listed and counted, and the same key makes no second one."""
    commands = [block.text for block in blocks_of(SKILL) if block.language == "sh"]
    assert len(commands) == 2
    make, look = commands
    script = "\n".join(["set -eo pipefail", make, *make.partition("\n")[2:], look])
    with served() as url:
        account = {"email": "agent@example.org", "password": "correct horse"}
        made = httpx.post(f"{url}/api/v1/auth/signup", json=account).json()
        environ = {"PATH": os.environ["PATH"], "NO_PROXY": "*", "AGENT_TALK_URL": url}
        done = subprocess.run(  # noqa: S603 our own page
            ["bash", "-c", script],  # noqa: S607 the reader's bash
            env=environ | {"AGENT_TALK_KEY": made["apiKey"]["key"]},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    answers = [json.loads(line) for line in done.stdout.replace("}{", "}\n{").splitlines()]
    first, again, listed, limits = answers
    assert (first["title"], first["audio"]["status"]) == ("Build", "ready")
    assert again == first
    assert listed["memos"] == [first]
    assert limits["daily"]["used"] == 1
