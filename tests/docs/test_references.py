"""All names in the pages exist: paths, links with their anchors, make targets, modules, and the version."""

import re
import tomllib
from importlib.util import find_spec
from typing import Final

import pytest

from shared import VERSION
from tests.docs.pages import PAGES, ROOT, blocks_of

TOP: Final = ("shared", "tools", "tests", "docs", "handlers", "deploy")
_BACKTICKED = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(rf"(?:{'|'.join(TOP)})/[\w./*-]*|\w[\w.-]*\.(?:md|yml|toml)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_MODULE = re.compile(r"python3? -m ([\w.]+)")
_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_NOT_OURS: Final = frozenset({"pytest", "pip", "venv"})


def page(name: str) -> str:
    return (ROOT / name).read_text()


def prose(name: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCED.sub("", page(name))


def commands(name: str) -> str:
    """Return the typable code of a page: in backticks, and in blocks of `sh`, run or not."""
    blocks = [block.text for block in blocks_of(page(name)) if block.language == "sh"]
    return "\n".join([*_BACKTICKED.findall(prose(name)), *blocks])


def anchors(name: str) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(path: str) -> bool:
    return any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()


def paths_in(markdown: str) -> list[str]:
    """Return the paths in backticks: below a known folder, or a file of the root."""
    return [text for text in _BACKTICKED.findall(markdown) if _PATH.fullmatch(text)]


@pytest.mark.parametrize("name", PAGES)
def test_page_names_only_paths_that_exist(name: str) -> None:
    """Each path in backticks exists, so a moved file is renamed in the pages."""
    assert [path for path in paths_in(prose(name)) if not exists(path)] == []


@pytest.mark.parametrize("name", PAGES)
def test_page_links_only_to_what_exists(name: str) -> None:
    """Relative links lead to a file, and their anchors to a heading of it."""
    broken = []
    for link in (first or second for first, second in _LINK.findall(prose(name))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        if not target.exists() or (anchor and anchor not in anchors(str(target.relative_to(ROOT)))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_page_names_only_make_targets_that_exist(name: str) -> None:
    """A renamed target is renamed in the documents, in blocks that no test runs too."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert [target for target in _TARGET.findall(commands(name)) if target not in targets] == []


@pytest.mark.parametrize("name", PAGES)
def test_page_names_only_modules_that_exist(name: str) -> None:
    """Each module after `python -m` can be found."""
    modules = [module for module in _MODULE.findall(commands(name)) if module not in _NOT_OURS]
    assert [module for module in modules if not _is_module(module)] == []


def test_paths_are_found_in_prose() -> None:
    """A test of paths that finds none would pass for ever."""
    found = paths_in("See `shared/stores/port.py`, `docs/decisions/*` and `README.md`; not `/api/v1/memo` or `a/b`.")
    assert found == ["shared/stores/port.py", "docs/decisions/*", "README.md"]
    assert len(paths_in(prose("docs/architecture.md"))) >= 30


def test_every_page_is_reached_from_the_readme() -> None:
    """A page that no other page links to would not be read."""
    linked = {
        str(((ROOT / name).parent / link.partition("#")[0]).resolve().relative_to(ROOT))
        for name in PAGES
        for link in (first or second for first, second in _LINK.findall(prose(name)))
        if "://" not in link
    }
    reached = {path for folder in linked for path in PAGES if path == folder or path.startswith(f"{folder}/")}
    assert [name for name in PAGES if name not in {"README.md"} | reached] == []


def test_changelog_begins_with_the_version() -> None:
    """The changelog begins with the current version."""
    newest = re.search(r"^## (\S+)$", page("CHANGELOG.md"), re.MULTILINE)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert newest is not None
    assert newest[1] == VERSION == declared


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
