"""The server and the gateways as processes that can be killed, frozen and started again."""

import argparse
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).resolve().parents[2]
MICRO_KEY: Final = "a-key-for-the-live-tests-only"
START_S: Final = 120.0
HOST: Final = "127.0.0.1"


class Process:
    """One child process on one port of this machine. It has started when it answers `ready`."""

    def __init__(self, command: list[str], *, cwd: Path, env: Mapping[str, str], port: int, ready: str) -> None:
        self.url = f"http://{HOST}:{port}"
        self._command = command
        self._cwd = cwd
        self.env = dict(env)
        self._ready = ready
        self._child: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._child = subprocess.Popen(  # noqa: ASYNC220 it is ended after the event loop
            self._command,
            cwd=self._cwd,
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        async with asyncio.timeout(START_S), httpx.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    await http.get(self.url + self._ready, timeout=5)
                except httpx.HTTPError:
                    if self._child.poll() is not None:
                        raise RuntimeError(f"{self._command} ended") from None
                    await asyncio.sleep(0.05)
                else:
                    return

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def kill(self) -> None:
        """Kill the process by SIGKILL, and wait until the kernel has closed its sockets."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def wait(self) -> None:
        """Wait until the process ends by itself."""
        if self._child is not None:
            self._child.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)


def add_checkout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server-dir", default=os.environ.get("MICRO_CHECKOUT"), help="the server's checkout (default: MICRO_CHECKOUT)"
    )


def checkout(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Path:
    """Return the server's checkout. Ends the program if there is none."""
    if not options.server_dir or not (Path(options.server_dir) / "src" / "index.ts").is_file():
        parser.error("name a checkout of HYPR Micro: set MICRO_CHECKOUT, or give --server-dir")
    return Path(options.server_dir).resolve()


@contextmanager
def stand_in(key: str) -> Iterator[str]:
    """Serve a stand-in of HYPR Micro, and yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "tests.fakes.standin", "--port", str(port), "--key", key]
    server = Process(command, cwd=ROOT, env={}, port=port, ready="/health")
    asyncio.run(server.start())
    try:
        yield server.url
    finally:
        server.kill()


@contextmanager
def micro_server(checkout: Path) -> Iterator[Process]:
    """Yield the public server, not yet started, on temporary data."""
    data = Path(tempfile.mkdtemp(prefix="micro-"))
    port = free_port()
    server = Process(
        ["node", "--import", "tsx", "src/index.ts"],
        cwd=checkout,
        env={
            "PORT": str(port),
            "HOST": HOST,
            "LMDB_PATH": str(data / "lmdb"),
            "STORAGE_PATH": str(data / "storage"),
            "API_KEYS": MICRO_KEY,
        },
        port=port,
        ready="/health",
    )
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(data, ignore_errors=True)


def gateway(server_url: str) -> AbstractContextManager[Process]:
    """Return a gateway to all functions on that server, not yet started."""
    return gateway_in(micro_environ(server_url))


def micro_environ(server_url: str) -> dict[str, str]:
    return {"AGENT_TALK_STORE": "micro", "HYPR_URL": server_url, "HYPERMICRO_API_KEY": MICRO_KEY}


@contextmanager
def gateway_in(environ: Mapping[str, str]) -> Iterator[Process]:
    """Yield a gateway to all functions, not yet started. Attempt limits are high: all requests have one address.

    Speech is simulated unless `environ` chooses otherwise: a machine cannot speak hundreds of memos at once.
    """
    port = free_port()
    process = Process(
        [sys.executable, "-m", "tools.local", "run", "--host", HOST, "--port", str(port)],
        cwd=ROOT,
        env={
            "SPEECH": "simulated",
            **environ,
            "SIGNUPS_PER_ADDRESS": "1000000",
            "FAILED_LOGINS_PER_ACCOUNT": "1000000",
            "FAILED_LOGINS_PER_ADDRESS": "1000000",
            "LOG_LEVEL": "CRITICAL",
            "MAIL": "smtp",  # port 9 refuses immediately: these checks need no mails
            "MAIL_FROM": "talk@example.org",
            "SMTP_HOST": HOST,
            "SMTP_PORT": "9",
            "SMTP_SECURITY": "none",
        },
        port=port,
        ready="/api/v1/voices",
    )
    try:
        yield process
    finally:
        process.kill()


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port
