"""Copy all tables and counters from one store to another, and compare both."""

import argparse
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from maintain.copying import Copying, Step
from maintain.opened import Impossible, opened_store
from shared.clock import Clock
from shared.settings import SettingsError, StoreChoice
from shared.tables import TABLES

STATE = Path(".local/copy.json")

Pass = Callable[..., AsyncIterator[Step]]
"""Goes through one sort of things, page by page, from `after` on."""


def add_to(commands: Any) -> None:
    """`commands` is what argparse calls subparsers."""
    parser = commands.add_parser(
        "copy",
        help="copy everything from one store to another",
        description="Copy all tables and counters from one store to another, and compare both. The settings of both "
        "come from the environment. Run it again to catch up with what has changed since; for the last pass the "
        "source's writers must be stopped, and until then the target must have none. What was interrupted goes on "
        "where it was. Exits with 1 if the stores do not hold the same.",
    )
    choices = [choice.value for choice in StoreChoice]
    parser.add_argument("--from", dest="source", required=True, choices=choices)
    parser.add_argument("--to", dest="target", required=True, choices=choices)
    parser.add_argument("--state", type=Path, default=STATE, help="a file for where it was (default: %(default)s)")
    parser.set_defaults(command=run)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    if options.source == options.target:
        raise Impossible("--from and --to name the same store")
    console, state = Console(), _State(options.state, f"{options.source} to {options.target}")
    async with (
        opened_store(_chosen(options.source, environ)) as source,
        opened_store(_chosen(options.target, environ)) as target,
    ):
        copying = Copying(source, target, clock=clock)
        await _copy(copying, state, console)
        different = await _compare(copying, console)
    if different:
        console.print(f"Not the same: {', '.join(different)}. Stop the source's writers, and run this again.")
        return 1
    console.print("Both hold the same. If the source had writers meanwhile, stop them and run this again.")
    return 0


async def _copy(copying: Copying, state: "_State", console: Console) -> None:
    passes: dict[str, Pass] = {f"rows of {table.name}": partial(copying.copy, table) for table in TABLES}
    passes |= {"counters": copying.copy_counters}
    passes |= {f"what is gone from {table.name}": partial(copying.prune, table) for table in TABLES}
    names = list(passes)
    if state.name in names:
        console.print(f"Going on with {state.name}, where the last copy was interrupted.")
        names = names[names.index(state.name) :]
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:.0f}"))
    with Progress(*columns, console=console) as progress:
        for name in names:
            task = progress.add_task(name, total=None)
            async for step in passes[name](after=state.after if name == state.name else None):
                progress.advance(task, step.rows)
                state.keep(name, step.after)
            progress.update(task, total=progress.tasks[task].completed)
    state.forget()


async def _compare(copying: Copying, console: Console) -> list[str]:
    """The names of what is not the same."""
    compared = {table.name: await copying.compare(table) for table in TABLES}
    compared |= {"counters": await copying.compare_counters()}
    for name, (source, target) in compared.items():
        verdict = "the same" if source == target else "NOT the same"
        console.print(f"{name}: {source.count} there, {target.count} here, {verdict}")
    return [name for name, (source, target) in compared.items() if source != target]


def _chosen(choice: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with this store chosen. Raises SettingsError."""
    chosen = {**environ, "AGENT_TALK_STORE": choice}
    if choice != StoreChoice.MEMORY:
        chosen.pop("AGENT_TALK_MEMORY_FILE", None)
    elif not environ.get("AGENT_TALK_MEMORY_FILE"):
        raise SettingsError(["AGENT_TALK_MEMORY_FILE is missing: it holds the rows of the memory store"])
    return chosen


class _State:
    """Where a copy stands, in a file."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        known = kept.get("what") == what
        self.name: str | None = kept["name"] if known else None
        self.after: str | None = kept["after"] if known else None

    def keep(self, name: str, after: str | None) -> None:
        """After the last page of a pass the next begins: until it has one, the last is done again."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"what": self._what, "name": name, "after": after}))
        fresh.replace(self._path)

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)
