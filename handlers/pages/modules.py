"""Joins the console's ES modules to one script, so that its code is one inline element with one hash.

A module names what it uses by lines such as `import { api } from "./api.js";`, and declares by `export` what others
may use. Joined, all declarations share one scope: `import` statements go, and the word `export` goes. So each name at
a module's top is unique over all modules, which a test checks; renaming and default exports are not understood.
"""

import re
from pathlib import Path
from typing import Final

IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


class ModulesCircle(ValueError):
    """Modules import one another: no order would define each name before it is used."""


def joined(main: Path) -> str:
    """Return one script of a module and all that it imports, each once, after what it imports itself."""
    return "".join(_EXPORT.sub("", IMPORT.sub("", module.read_text(encoding="utf-8"))) for module in in_order(main))


def in_order(main: Path) -> list[Path]:
    """Return the modules in the order in which they must be executed. Raises ModulesCircle."""
    order: list[Path] = []
    open_modules: list[Path] = []

    def visit(module: Path) -> None:
        if module in open_modules:
            raise ModulesCircle(" imports ".join(one.name for one in [*open_modules, module]))
        if module in order:
            return
        open_modules.append(module)
        for name in IMPORT.findall(module.read_text(encoding="utf-8")):
            visit(module.parent / name)
        open_modules.pop()
        order.append(module)

    visit(main)
    return order
