"""Every test is collected: pytest silently ignores a class that is not named Test…."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def classes() -> Iterator[ast.ClassDef]:
    for file in TESTS.rglob("*.py"):
        yield from (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ClassDef))


def test_every_class_of_tests_is_collected() -> None:
    """A class is collected by its name, or as another one's base: a contract without an adapter would never run."""
    bases = {base.id for each in classes() for base in each.bases if isinstance(base, ast.Name)}
    of_tests = {
        each.name for each in classes() if any(getattr(part, "name", "").startswith("test_") for part in each.body)
    }
    assert len(of_tests) > 20
    assert {name for name in of_tests if not name.startswith("Test")} <= bases


def test_every_file_of_tests_is_collected() -> None:
    """A file is collected by its name, or is named by the Makefile or by a test that starts an engine."""
    starters = [TESTS.parent / "Makefile", *(TESTS / "engines").glob("*.py")]
    targets = "".join(file.read_text("utf-8") for file in starters)
    left = {
        str(file.relative_to(TESTS.parent))
        for file in TESTS.rglob("*.py")
        if not file.name.startswith("test_")
        for part in ast.parse(file.read_text("utf-8")).body
        if getattr(part, "name", "").startswith("test_")
    }
    assert [file for file in sorted(left) if file not in targets] == []
