"""Compile the bytecode of an archive's sources, so that no container compiles its imports.

Any patch release of the Python that will run it compiles it, since bytecode is the same for all of them. Its hashes are
unchecked: an import neither reads the source nor compares its time, which an archive does not contain.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from deploy.archive import Entries

UNPACKED_IN: Final = "/var/task"
"""The folder of an archive's files in Lambda, as tracebacks name it."""

_COMPILING: Final = {"PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": "", "PYTHONOPTIMIZE": ""}
"""Variables of the Python that compiles. With a developer's values of the last two the archive would have no bytecode:
it would be in another folder, or under names that Lambda's Python does not read."""


def find_python(version: str) -> Path | None:
    """Return a Python of a version such as "3.13": this one, or one on PATH, of pyenv or of uv. None: there is none."""
    return next((Path(path) for path in _candidates(version) if _is_python(path, version)), None)


def compiled(chosen: Entries, python: Path, folder: Path) -> Entries:
    """Return the bytecode of the modules among `chosen`, as entries, compiled in the empty `folder`.

    The same sources give the same bytes. Raises CalledProcessError if one does not compile.
    """
    for name, path in chosen.items():
        if name.suffix == ".py":
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    command: list[str | Path] = [python, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", folder, "-p", UNPACKED_IN, folder]
    subprocess.run(command, check=True, env={**os.environ, **_COMPILING})
    return {PurePosixPath(path.relative_to(folder).as_posix()): path for path in folder.rglob("*.pyc")}


def _candidates(version: str) -> Iterator[str]:
    if ".".join(map(str, sys.version_info[:2])) == version:
        yield sys.executable
    yield f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    for place in (pyenv / "versions", uv):
        yield from (str(path) for path in sorted(place.glob(f"*{version}.*/bin/python{version}")))


def _is_python(path: str, version: str) -> bool:
    """Return whether the program runs with this version: a shim of pyenv may be on PATH and fail."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        told = subprocess.run([path, "-c", asked], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return told.returncode == 0 and told.stdout.strip() == version
