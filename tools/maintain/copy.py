"""Copy all tables and counters from one store to another, and compare both."""

import argparse
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from shared.core.clock import Clock
from shared.core.settings import Settings, SettingsError, StoreChoice
from shared.stores.port import Store
from shared.tables import TABLES
from tools.maintain.bookmark import Bookmark, Place
from tools.maintain.content import Content, counters_content, table_content
from tools.maintain.copying import SourceEmpty, Step, StoreCopy
from tools.maintain.opened import Impossible, maintenance_settings, opened_existing, opened_store
from tools.maintain.where import where

STATE = Path(".local/copy.json")

Pass = Callable[..., AsyncIterator[Step]]
"""Copies or deletes the rows of one table, or the counters, page by page, from `after` on."""

Read = Callable[[Store], AsyncIterator[Content]]
"""Yields the digest of one table's rows so far, or of the counters."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    source: Content
    target: Content

    @property
    def same(self) -> bool:
        return self.source == self.target

    @property
    def surplus(self) -> int:
        """The number of rows that the target has in excess. After a copy the source does not have them."""
        return max(0, self.target.count - self.source.count)


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "copy",
        help="copy everything from one store to another",
        description="Copy all tables and counters from one store to another, and compare both. The settings of both "
        "come from the environment. Run it again to catch up with what has changed since; for the last pass the "
        "source's writers must be stopped, and until then the target must have none. A copy that was "
        "interrupted continues where it stopped. Exits with 1 if the stores do not hold the same.",
    )
    choices = [choice.value for choice in StoreChoice]
    parser.add_argument("--from", dest="source", required=True, choices=choices)
    parser.add_argument("--to", dest="target", required=True, choices=choices)
    parser.add_argument(
        "--delete", action="store_true", help="delete from the target what the source has not; without, it is counted"
    )
    parser.add_argument(
        "--create-table",
        action="store_true",
        help="make the target's DynamoDB table, and switch on its time to live, if it lacks them: without the "
        "protection that infrastructure gives it",
    )
    parser.add_argument(
        "--state", type=Path, default=STATE, help="the file that keeps how far it is (default: %(default)s)"
    )
    parser.set_defaults(command=run)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    if options.source == options.target:
        raise Impossible("--from and --to name the same store")
    source_settings, target_settings = _chosen(options.source, environ), _chosen(options.target, environ)
    ends = f"From {where(source_settings)}\nto   {where(target_settings)}"
    print(ends, flush=True)
    async with (
        opened_existing(source_settings) as source,
        opened_store(target_settings, creates_table=options.create_table) as target,
    ):
        copying, bookmark = StoreCopy(source.store, target, clock=clock), Bookmark(options.state, ends)
        try:
            copied = await _copy(_passes(copying, delete=options.delete), bookmark)
        except SourceEmpty as exc:
            bookmark.forget()
            raise Impossible(_empty(str(exc))) from exc
        compared = await _compare(source.store, target, clock, copied)
    return _report(compared)


def _passes(copying: StoreCopy, *, delete: bool) -> dict[str, Pass]:
    passes: dict[str, Pass] = {table.name: partial(copying.copy, table) for table in TABLES}
    passes |= {"counters": copying.copy_counters}
    if delete:
        passes |= {f"gone from {table.name}": partial(copying.prune, table) for table in TABLES}
        passes |= {"gone from counters": copying.prune_counters}
    return passes


async def _copy(passes: Mapping[str, Pass], bookmark: Bookmark) -> dict[str, int]:
    """Make the passes, from the bookmark on. Returns the row counts of the passes made from their beginning."""
    counts: dict[str, int] = {}
    names, place = list(passes), bookmark.place()
    if place is not None and place.name in names:
        print(f"Continuing with {place.name}, where the last copy was interrupted.")
        names = names[names.index(place.name) :]
    elif bookmark.exists():
        print("Starting over: the state file is not of this copy.")
    with _progress() as progress:
        for name in names:
            task = progress.add_task(name, total=None)
            after = place.after if place is not None and place.name == name else None
            bookmark.keep(Place(name=name, after=after))
            count = 0
            async for step in passes[name](after=after):
                count += step.rows
                progress.update(task, completed=count)
                if step.after is not None:
                    bookmark.keep(Place(name=name, after=step.after))
            progress.update(task, total=count)
            if after is None:
                counts[name] = count
    bookmark.forget()
    return counts


async def _compare(source: Store, target: Store, clock: Clock, copied: Mapping[str, int]) -> dict[str, Compared]:
    reads: dict[str, Read] = {table.name: partial(table_content, table=table) for table in TABLES}
    reads |= {"counters": partial(counters_content, clock=clock)}
    compared: dict[str, Compared] = {}
    with _progress(transient=True) as progress:
        for name, read in reads.items():
            there = await _read(read(source), progress, f"{name} of the source", copied.get(name))
            here = await _read(read(target), progress, f"{name} of the target", there.count)
            compared[name] = Compared(source=there, target=here)
    return compared


async def _read(contents: AsyncIterator[Content], progress: Progress, name: str, total: int | None) -> Content:
    task, content = progress.add_task(name, total=total), Content()
    async for content in contents:
        progress.update(task, completed=content.count)
    progress.update(task, total=content.count)
    return content


def _report(compared: Mapping[str, Compared]) -> int:
    """Print each difference, and return the exit code."""
    for name, pair in compared.items():
        verdict = "the same" if pair.same else f"{pair.surplus} more" if pair.surplus else "NOT the same"
        print(f"{name}: {pair.source.count} in the source, {pair.target.count} in the target, {verdict}")
    more = [name for name, pair in compared.items() if pair.surplus]
    other = [name for name, pair in compared.items() if not pair.same and not pair.surplus]
    if other:
        print(f"Not the same: {', '.join(other)}. Stop the source's writers, and run this again.")
    if more:
        print(
            f"More in the target than in the source: {', '.join(more)}. If these are the right source and the right "
            "target, run this again with --delete, which deletes from the target what the source has not."
        )
    if other or more:
        return 1
    print("Both hold the same. If the source had writers meanwhile, stop them and run this again.")
    return 0


def _empty(name: str) -> str:
    return (
        f"{name}: the source has none at all, and the target has some. They were not deleted: look whether --from and "
        "--to are the right way round. If they are, copy into an empty target."
    )


def _chosen(choice: str, environ: Mapping[str, str]) -> Settings:
    """Return the settings with this store chosen. Raises SettingsError if they do not fit it."""
    chosen = {**environ, "AGENT_TALK_STORE": choice}
    if choice != StoreChoice.MEMORY:
        chosen.pop("AGENT_TALK_MEMORY_FILE", None)
    elif not environ.get("AGENT_TALK_MEMORY_FILE"):
        raise SettingsError(["AGENT_TALK_MEMORY_FILE is missing: it holds the rows of the memory store"])
    return maintenance_settings(chosen)


def _progress(*, transient: bool = False) -> Progress:
    """Return a display with a bar if the total is known, otherwise with the number so far and the speed."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        console=Console(),
        transient=transient,
    )
