"""Strings that name modules: a test, check or start-up list with the name of a deleted module would pass blindly."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("handlers", "shared", "tools", "deploy", "tests")
DOTTED = re.compile(rf"\b(?:{'|'.join(FOLDERS)})(?:\.[a-z_][a-z0-9_]*)+")
"""`handlers.memos` in any string, also in a program that a test starts; `exists` also accepts a trailing attribute."""

INVENTED = {"handlers.nothing", "handlers.gone"}
"""Names of modules that tests use as absent ones."""


def named() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    where = str(path.relative_to(ROOT))
                    yield from ((where, name) for name in DOTTED.findall(node.value))


def exists(name: str) -> bool:
    """Return whether the name is a module, or an attribute of a module, such as a handler."""
    path = ROOT.joinpath(*name.split("."))
    if path.suffix:  # a file's name
        return False
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_module_names_in_strings_exist() -> None:
    """Every module that a string names is found, as itself or as the module of a named attribute."""
    lost = {
        f"{where}: {name}"
        for where, name in named()
        if name not in INVENTED and not name.endswith((".py", ".md", ".yml", ".txt", ".json"))
        if not exists(name) and not exists(name.rpartition(".")[0])
    }
    assert not lost


def test_module_names_that_are_gone_are_noticed() -> None:
    """The check itself can fail."""
    assert not exists("nothing.at_all")
