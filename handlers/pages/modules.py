"""Joins the console's ES modules to one script, so that its code is one inline element with one hash.

A module imports names by lines such as `import { api } from "./api.js";`, and exports declarations by `export`. In the
joined script all declarations share one scope: `import` statements and the word `export` are removed. So each name at a
module's top must be unique over all modules, which a test checks; renaming and default exports are not supported.
"""

import re
from pathlib import Path
from typing import Final

IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)


class ModulesCircle(ValueError):
    """Modules import one another, so no order defines each name before its use."""


def joined(main: Path) -> str:
    """Return one script of a module and all its imports. Each module is there once, after its own imports."""
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
