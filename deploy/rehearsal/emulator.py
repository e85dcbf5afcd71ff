"""An AWS that is emulated on this machine: ministack, in its own environment."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from deploy.bundle import ROOT
from deploy.rehearsal.transcript import expect
from tests.fakes.mails import MailServer
from tests.live.processes import HOST, free_port
from tests.runtime.api import BOTO3, lambdas_own_packages

EMULATOR: Final = ROOT / ".local" / "engines" / "ministack"
LOCKED: Final = ROOT / "tests" / "engines" / "ministack.txt"
START_S: Final = 60


@contextmanager
def emulated_aws(told: Path, mails: MailServer) -> Iterator[str]:
    """Run the emulator, and yield its URL. Its SES passes mails to `mails`.

    Its functions run on its own Python, and get boto3 from us, as they do from Lambda.
    """
    program = EMULATOR / "bin" / "ministack"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", EMULATOR], check=True)
        uv = Path(sys.executable).parent / "uv"
        python = EMULATOR / "bin" / "python"
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", LOCKED], check=True
        )
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(told.parent),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SMTP_HOST": f"{HOST}:{mails.port}",
        "PYTHONPATH": str(lambdas_own_packages(told.parent / "lambda", BOTO3)),
    }
    url = f"http://{HOST}:{port}"
    with told.open("w") as log, _running([str(program)], env, f"{url}/_ministack/health", log):
        yield url


@contextmanager
def _running(command: list[str], env: Mapping[str, str], ready: str, output: Any) -> Iterator[None]:
    """Run a child process, from its first answer until the end of the context. Raises NotAsItShould."""
    child = subprocess.Popen(command, cwd=ROOT, env=dict(env), stdout=output, stderr=subprocess.STDOUT)
    try:
        ends = time.monotonic() + START_S
        while not _answers(ready):
            expect(child.poll() is None and time.monotonic() < ends, f"{command[0]} did not start")
            time.sleep(0.1)
        yield
    finally:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return True
