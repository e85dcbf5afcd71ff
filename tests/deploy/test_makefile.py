"""The Makefile on other machines: paths with blanks, and tools that are not GNU's."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from deploy.bundle import ROOT

MAKE: Final = shutil.which("make") or "make"


def made(folder: Path, *words: str) -> list[str]:
    """Return the lines that make prints in a folder with the Makefile, in which all requirements are installed."""
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements-dev.txt", "requirements-uv.txt", "package-lock.json", ".venv/ready", "node_modules/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    command = [MAKE, "--directory", str(folder), "--no-print-directory", *words]
    path = {"PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, env=path, capture_output=True, text=True, check=True)  # noqa: S603 our own command
    return ran.stdout.splitlines()


@pytest.mark.parametrize("target", ["invoke-osls", "offline"])
def test_osls_gets_its_variables_in_a_path_with_blanks(tmp_path: Path, target: str) -> None:
    """A checkout below `My Projects` works: each variable is one word of the shell."""
    folder = tmp_path / "a b"
    words = shlex.split(made(folder, "--dry-run", target)[-1])
    assert f"VIRTUAL_ENV={folder}/.venv" in words
    assert f"AGENT_TALK_MEMORY_FILE={folder}/.local/memory.json" in words


def test_help_shows_each_target_with_what_it_does(tmp_path: Path) -> None:
    """Every target with a description is shown, and begins its line."""
    described = re.findall(r"^([a-z0-9-]+):.*?## (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made(tmp_path / "here", "help") == [f"{target:<18}{what}" for target, what in described]
    assert len(described) > 30
