"""The console's modules as one script: their order, and unique names."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from handlers import pages
from handlers.pages.modules import ModulesCircle, in_order, joined

CONSOLE: Final = Path(pages.__file__).parent / "console"
DECLARED: Final = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\w+|\{[^}]*\})", re.MULTILINE)


def names_of(module: Path) -> list[str]:
    declared = DECLARED.findall(module.read_text(encoding="utf-8"))
    return [name for names in declared for name in re.findall(r"\w+", names)]


def test_modules_are_joined_in_order_without_their_links(tmp_path: Path) -> None:
    """A module comes once, after its imports; `import` lines and the word `export` are removed."""
    (tmp_path / "main.js").write_text('import { a } from "./a.js";\nimport {\n  b,\n} from "./b.js";\na(b);\n')
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport function a() {\n  return b;\n}\n')
    (tmp_path / "b.js").write_text("export const b = 1;\nconst exported = 'export const';\n")
    expected = "const b = 1;\nconst exported = 'export const';\nfunction a() {\n  return b;\n}\na(b);\n"
    assert joined(tmp_path / "main.js") == expected


def test_modules_that_import_one_another_are_refused(tmp_path: Path) -> None:
    """No order would define every name before it is used."""
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\n')
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\n')
    with pytest.raises(ModulesCircle, match=r"a\.js imports b\.js imports a\.js"):
        in_order(tmp_path / "a.js")


def test_console_joins_all_its_modules() -> None:
    """No module is left over, and nothing of the modules' own syntax is left in the script."""
    assert set(in_order(CONSOLE / "main.js")) == set(CONSOLE.glob("*.js"))
    script = joined(CONSOLE / "main.js")
    assert re.findall(r"^\s*(?:import|export)\b.*", script, re.MULTILINE) == []
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_names_are_unique_over_all_modules() -> None:
    """Joined, all declarations share one scope."""
    times = Counter(name for module in CONSOLE.glob("*.js") for name in names_of(module))
    assert [name for name, count in times.items() if count > 1] == []


def test_modules_import_what_is_exported() -> None:
    """Joined, a wrong import would go unnoticed: each name must be exported by the module that is named."""
    imports = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
    exports = re.compile(r"^export (?:async )?(?:function|class|const|let) (\w+|\{[^}]*\})", re.MULTILINE)
    for module in CONSOLE.glob("*.js"):
        for names, source in imports.findall(module.read_text(encoding="utf-8")):
            exported = exports.findall((CONSOLE / source).read_text(encoding="utf-8"))
            known = {name for group in exported for name in re.findall(r"\w+", group)}
            assert set(re.findall(r"\w+", names)) <= known, f"{module.name} imports from {source}"


def test_modules_use_what_they_import() -> None:
    """An imported name occurs in the module again."""
    imports = re.compile(r"^import \{([^}]*)\} from .*\n", re.MULTILINE)
    for module in CONSOLE.glob("*.js"):
        text = module.read_text(encoding="utf-8")
        used = set(re.findall(r"\w+", imports.sub("", text)))
        assert {name for names in imports.findall(text) for name in re.findall(r"\w+", names)} <= used, module.name


@pytest.mark.parametrize("module", sorted(CONSOLE.glob("*.js")), ids=lambda module: module.name)
def test_module_is_short(module: Path) -> None:
    """A module has at most 300 lines."""
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 300


def test_class_is_styled_by_one_file() -> None:
    """A name that two files style by itself would mix two parts of the console."""
    styled = Counter(
        name
        for style in CONSOLE.glob("*.css")
        for name in {
            selector.strip()
            for selectors in re.findall(r"([^{};]+)\{", re.sub(r"/\*.*?\*/", "", style.read_text(), flags=re.DOTALL))
            for selector in selectors.split(",")
            if re.fullmatch(r"\s*\.[\w-]+\s*", selector)
        }
    )
    assert [name for name, count in styled.items() if count > 1] == []
