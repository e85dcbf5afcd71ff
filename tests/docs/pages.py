"""The code blocks of the Markdown pages, and a copy of the checkout to run them in.

A block of `sh` is run. A comment on the line before its fence changes that:

    <!-- skip: needs Node -->     it is not run, for this reason
    <!-- serve -->                it runs in the background until the page ends

A `text` or `json` block after a block of `sh` is the output of its commands. `…` in it stands for any text.
A `python` block whose first line is a comment with a path is saved there before the next commands run.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = tuple(
    sorted(
        str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md"))
    )
)
"""Paths from the root of the checkout."""

SHOWN_PORT: Final = 8000
"""The port in the pages. Tests serve on a free one."""

START_S: Final = 60.0
RUN_S: Final = 300.0
"""Time limits for a busy machine: a page takes seconds."""

_MARK: Final = "\x1eblock\x1e"
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>.+?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_SAVED = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block. `line` counts from 1. `printed` is the expected output of its commands; None: any."""

    line: int
    language: str
    text: str
    marker: str | None
    printed: str | None = None

    @property
    def skip_reason(self) -> str | None:
        return self.marker.removeprefix("skip:").strip() if self.marker and self.marker.startswith("skip:") else None

    @property
    def serves(self) -> bool:
        return self.marker == "serve"

    @property
    def runs(self) -> bool:
        return self.language == "sh" and self.marker is None

    @property
    def saved_as(self) -> str | None:
        """Return the path in the block's first line; None: it names none."""
        named = _SAVED.match(self.text) if self.language == "python" else None
        return named[1] if named else None


def blocks_of(markdown: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found: list[Block] = []
    ended = 0
    for match in _BLOCK.finditer(markdown):
        follows = not markdown[ended : match.start()].strip()
        if found and follows and found[-1].language == "sh" and match["language"] in ("text", "json"):
            before = found.pop()
            found.append(
                Block(
                    line=before.line,
                    language=before.language,
                    text=before.text,
                    marker=before.marker,
                    printed=match["text"],
                )
            )
        else:
            line = markdown.count("\n", 0, match.start("language")) + 1
            found.append(Block(line=line, language=match["language"], text=match["text"], marker=match["marker"]))
        ended = match.end()
    return found


def is_printed(expected: str, printed: str) -> bool:
    """Return whether output matches the expected text of a page; `…` in it matches any text."""
    pattern = "[\\s\\S]*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, printed.strip()) is not None


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A copy of the tracked files, with the environment of a new terminal."""

    path: Path
    port: int

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path.parent),
            "LANG": "C.UTF-8",
            "PORT": str(self.port),
            "NO_PROXY": "*",
        }

    def run_page(self, markdown: str) -> list[str]:
        """Run a page's blocks from top to bottom in one shell. Returns the differences from the page."""
        blocks = blocks_of(markdown)
        with _served(self, [block for block in blocks if block.serves]) as problems:
            for block in blocks:
                if block.saved_as is not None:
                    (self.path / block.saved_as).write_text(block.text)
            return problems + self._run([block for block in blocks if block.runs])

    def leftovers(self) -> list[str]:
        """Return the files that are neither tracked nor ignored, and changed tracked files."""
        lines = _git(self.path, "status", "--porcelain", "--untracked-files=all").splitlines()
        return [line for line in lines if not line.startswith("A  ")]  # these are the copied files

    def _run(self, blocks: list[Block]) -> list[str]:
        script = "set -eo pipefail\n" + "".join(f"{block.text}\nprintf '%s\\n' '{_MARK}'\n" for block in blocks)
        done = subprocess.run(  # noqa: S603 our own page
            ["bash", "-c", self.with_port(script)],  # noqa: S607 the reader's bash
            cwd=self.path,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        printed = self.with_shown_port(done.stdout).split(f"{_MARK}\n")
        problems = [
            f"line {block.line} printed\n{text}\nand the page shows\n{block.printed}"
            for block, text in zip(blocks, printed, strict=False)
            if block.printed is not None and not is_printed(block.printed, text)
        ]
        if done.returncode != 0:
            failed = blocks[len(printed) - 1]
            problems.append(f"line {failed.line} exits with {done.returncode}:\n{printed[-1]}\n{done.stderr}")
        return problems

    def with_port(self, text: str) -> str:
        return text.replace(f"localhost:{SHOWN_PORT}", f"localhost:{self.port}")

    def with_shown_port(self, text: str) -> str:
        return text.replace(f"localhost:{self.port}", f"localhost:{SHOWN_PORT}")


def copy_checkout(folder: Path) -> Checkout:
    """Copy the files that git tracks or would track, with this Python's packages as `.venv`, and commit nothing."""
    path = folder / "agent-talk"
    for name in _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    _git(path, "init", "--quiet")
    _git(path, "add", "--all")
    venv = path / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "lib64"):
        if (Path(sys.prefix) / name).exists():
            (venv / name).symlink_to(Path(sys.prefix) / name)
    shutil.copy2(Path(sys.prefix) / "pyvenv.cfg", venv)
    (venv / "ready").touch()  # newer than the requirements: `make` installs nothing
    return Checkout(path=path, port=_free_port())


@contextmanager
def _served(checkout: Checkout, blocks: list[Block]) -> Iterator[list[str]]:
    """Run a page's server, if it has one, until the context ends. Yields its output's differences from the page."""
    if not blocks:
        yield []
        return
    (block,) = blocks
    log = checkout.path.parent / "served.txt"
    with log.open("w") as output:
        server = subprocess.Popen(  # noqa: S603 our own page
            ["bash", "-c", block.text],  # noqa: S607 the reader's bash
            cwd=checkout.path,
            env=checkout.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{checkout.port}/health", server)
        printed = checkout.with_shown_port(log.read_text())
        wrong = block.printed is not None and not is_printed(block.printed, printed)
        yield [f"line {block.line} printed\n{printed}\nand the page shows\n{block.printed}"] if wrong else []
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            try:
                raise RuntimeError(f"the server ended with {server.wait(timeout=0.05)}")
            except subprocess.TimeoutExpired:
                continue
        return
    raise TimeoutError(f"{url} did not answer in {START_S:.0f} s")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 our own arguments
        ["git", "-c", "safe.directory=*", *arguments],  # noqa: S607 the reader's git
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
