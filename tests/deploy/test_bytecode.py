"""The bytecode beside an archive's sources."""

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from deploy.bytecode import compiled, find_python

THIS: Final = ".".join(map(str, sys.version_info[:2]))
SOURCE: Final = "WORDS = {'b', 'a', 'c'}\n\n\ndef fail():\n    raise ValueError('x' in {'x', 'y'})\n"


def entries_of(folder: Path) -> dict[PurePosixPath, Path]:
    module, other = folder / "module.py", folder / "page.html"
    module.write_text(SOURCE)
    other.write_text("<p>")
    return {PurePosixPath("package/module.py"): module, PurePosixPath("package/page.html"): other}


def test_modules_alone_are_compiled_and_never_compared(tmp_path: Path) -> None:
    """Bytecode has the flag of an unchecked hash, 1 in PEP 552. A page has no bytecode."""
    (name, path), *others = compiled(entries_of(tmp_path), Path(sys.executable), tmp_path / "code").items()
    tag = f"cpython-{THIS.replace('.', '')}"
    assert (str(name), others) == (f"package/__pycache__/module.{tag}.pyc", [])
    assert path.read_bytes()[4:8] == bytes([1, 0, 0, 0])


def test_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """Another folder gives the same bytes too, since tracebacks name Lambda's folder."""
    first, second = (
        [path.read_bytes() for path in compiled(entries_of(tmp_path), Path(sys.executable), tmp_path / each).values()]
        for each in ("one", "two")
    )
    assert first == second
    assert b"/var/task/package/module.py" in first[0]


@pytest.mark.parametrize(("variable", "value"), [("PYTHONPYCACHEPREFIX", "elsewhere"), ("PYTHONOPTIMIZE", "2")])
def test_compiled_ignores_a_developers_variables(tmp_path: Path, variable: str, value: str) -> None:
    """Bytecode is beside its source and has the name that an import reads, whatever a developer's Python is set to."""
    (tmp_path / "module.py").write_text(SOURCE)
    program = """
import sys
from pathlib import Path, PurePosixPath
from deploy.bytecode import compiled
folder = Path(sys.argv[1])
print(*compiled({PurePosixPath("module.py"): folder / "module.py"}, Path(sys.executable), folder / "code"))
"""
    ran = subprocess.run(  # noqa: S603 our own text
        [sys.executable, "-c", program, tmp_path],
        env={**os.environ, variable: str(tmp_path / value) if value == "elsewhere" else value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == f"__pycache__/module.cpython-{THIS.replace('.', '')}.pyc"


def test_python_is_found_by_its_version() -> None:
    """The running Python is found by its version, and none is found for 3.99."""
    assert find_python(THIS) == Path(sys.executable)
    assert find_python("3.99") is None
