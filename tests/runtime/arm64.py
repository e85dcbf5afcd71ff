"""The deployed archive, build/agent-talk-arm64.zip, on an emulated arm64 Python 3.13.

`make test-arm64` runs this. It is not in the default run, since it needs the archive and the emulator.
"""

import json
import os
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

import pytest
import yaml

from deploy.bundle import DEPLOYED, ROOT
from tests.events import Event, LambdaContext, http_event
from tests.runtime.runs import KEY, Micro, served
from tests.support import SECRET

PYTHON: Final = ROOT / ".local" / "arm64" / "python"
"""The emulated Python, installed by deploy/arm64.sh."""

GUEST: Final = Path(__file__).with_name("guest.py")
ENDS_S: Final = 300.0
"""Seconds after which the emulated process is killed, so that a test cannot hang. An idle machine needs some 20."""

MODULES: Final = [
    function["handler"].removesuffix(".handler").replace("/", ".")
    for function in yaml.safe_load((ROOT / "serverless.yml").read_text())["functions"].values()
]


class Emulated:
    """One emulated process in which all functions are imported from the unpacked archive."""

    def __init__(self, child: "subprocess.Popen[str]", log: Path) -> None:
        self._child = child
        self._log = log
        self.found = self._read()
        """The machine and the Python version of the process."""

    def invoke(self, module: str, event: Event, *, status: int) -> Any:
        """Return the decoded body of the answer, None if it is empty. Fails the test if its status is another."""
        assert self._child.stdin is not None
        asked = {"module": f"handlers.{module}", "event": event, "context": _context()}
        self._child.stdin.write(json.dumps(asked) + "\n")
        self._child.stdin.flush()
        answer = self._read()
        assert answer["statusCode"] == status, f"{answer}\n{self._log.read_text()}"
        return json.loads(answer["body"] or "null")

    def _read(self) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, f"the emulated process ended\n{self._log.read_text()}"
        return json.loads(line)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, log: Path, env: Mapping[str, str]) -> Iterator[Self]:
        """Unpack the archive into `folder` and start it, with these variables and PATH alone."""
        if not PYTHON.exists() or not DEPLOYED.archive.exists():
            pytest.fail("the emulator or the archive is missing: make test-arm64 sees to both")
        with zipfile.ZipFile(DEPLOYED.archive) as archive:
            archive.extractall(folder)
        with (
            log.open("w") as errors,
            subprocess.Popen(  # noqa: S603 our own command
                [PYTHON, "-I", "-S", "-B", GUEST, folder, *MODULES],
                env={"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_NAME": "agent-talk-test", **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as child,
        ):
            watchdog = threading.Timer(ENDS_S, child.kill)
            watchdog.start()
            try:
                yield cls(child, log)
            finally:
                watchdog.cancel()
                child.kill()


def _context() -> dict[str, Any]:
    values = asdict(LambdaContext())
    del values["remaining_ms"]
    return values


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Emulated]:
    """Yield all functions on a stand-in of HYPR Micro, which this Python serves."""
    with served(Micro()) as url:
        env = {
            "AGENT_TALK_STORE": "micro",
            "HYPR_URL": url,
            "HYPERMICRO_API_KEY": KEY,
            "SESSION_SECRET": SECRET,
            "SPEECH": "simulated",
            "MAIL": "smtp",  # SES needs boto3, which Lambda's runtime contains and this Python lacks
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": "1",
            "MAIL_FROM": "talk@example.org",
        }
        with Emulated.running(tmp_path / "archive", tmp_path / "log", env) as running:
            yield running


def test_arm64_archive_signs_up_and_makes_a_memo(emulated: Emulated) -> None:
    """Every handler of serverless.yml imports on Lambda's processor and Python, and six of them answer whole events.

    An account is made, its key makes a memo, and the memo is fetched by its id. The functions of the account, its keys,
    usage and subscription answer for it, and health does. One test, because an emulated start takes most of its time.
    """
    assert emulated.found == {"machine": DEPLOYED.machine, "python": DEPLOYED.python}
    credentials = json.dumps({"email": "ada@example.org", "password": "correct horse"})
    account = emulated.invoke("users", http_event("POST", "/api/v1/auth/signup", body=credentials), status=201)
    session = {"authorization": f"Bearer {account['token']}"}
    key = {"authorization": f"Bearer {account['apiKey']['key']}"}

    text = json.dumps({"text": "It runs where it will run.", "voice": "rachel"})
    memo = emulated.invoke("memos", http_event("POST", "/api/v1/memo", headers=key, body=text), status=201)
    assert emulated.invoke("memos", http_event("GET", f"/api/v1/memo/{memo['id']}", headers=key), status=200) == memo

    def got(module: str, path: str, headers: Mapping[str, str]) -> Any:
        return emulated.invoke(module, http_event("GET", path, headers=headers), status=200)

    assert got("users", "/api/v1/auth/me", session)["user"]["id"] == account["user"]["id"]
    assert [key["usageCount"] for key in got("keys", "/api/keys", session)["keys"]] == [1]
    assert got("usage", "/api/v1/usage", session)["logs"][0]["metadata"]["memoId"] == memo["id"]
    assert got("subscriptions", "/api/v1/billing/subscription", session)["subscription"]["tier"] == "hobby"
    assert got("health", "/health", {})["database"] == {"status": "ok", "mode": "micro"}
