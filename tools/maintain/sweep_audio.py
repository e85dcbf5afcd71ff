"""Delete audio without a memo, and pieces of long texts without a worker, which crashes and outages leave behind."""

import argparse
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from shared.audio.files import Area, AudioFiles, file_of
from shared.audio.opening import open_audio
from shared.core.clock import DAY, Clock
from shared.stores.port import Store
from shared.tables import MEMOS, LongMemoList
from tools.maintain.opened import Impossible, maintenance_settings, opened_existing

LEFT_FOR: Final = DAY
"""The minimum age of a deleted object. A memo is written seconds after its audio, a long memo hours before it."""

SWEPT: Final = (Area.AUDIO, Area.PIECES, Area.LEASES, Area.MAKING)
"""The areas to sweep. Marks of closed owners are not among them: they stay for ever."""


@dataclass(kw_only=True)
class Swept:
    """The numbers of objects: left behind, and kept because they are needed or too young."""

    left: int = 0
    kept: int = 0


def add_to(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser(
        "sweep-audio",
        help="delete audio without a memo",
        description="Delete audio that no memo names, and parts of long texts that ended. Objects of the last day are "
        "left alone. Reads every memo once, and keeps 150 bytes of each in memory. Repeatable; it may be interrupted, "
        "and run while the service serves.",
    )
    parser.add_argument("--check", action="store_true", help="count them only")
    parser.set_defaults(command=run)


async def run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    settings = maintenance_settings(environ, audio=True)
    place = open_audio(settings.audio)
    files = place.files
    if files is None:
        raise Impossible(
            "no place for audio is chosen: set AUDIO, and AUDIO_BUCKET or AUDIO_DIR, as the functions have"
        )
    try:
        async with opened_existing(settings, writes=not options.check, clock=clock) as opened:
            with Progress(transient=True) as progress:
                swept = await sweep_audio(
                    opened.store, files, opened.clock(), deletes=not options.check, progress=progress
                )
    finally:
        await place.close()
    Console().print(f"{swept.left} objects {'are left over' if options.check else 'deleted'}, {swept.kept} stay")
    return 0


async def sweep_audio(
    store: Store, files: AudioFiles, at: datetime, *, deletes: bool = True, progress: Progress | None = None
) -> Swept:
    """Delete objects without a memo. Memos are read first: objects made since then are too young to be deleted."""
    progress = progress or Progress(disable=True)
    reading = progress.add_task("memos read", total=None)
    named, unfinished = set[str](), {row.file async for row in LongMemoList(store).every()}
    async for file in _named(store):
        named.add(file)
        progress.update(reading, advance=1)
    looking, swept = progress.add_task("objects seen", total=None), Swept()
    for area in SWEPT:
        needed = named if area is Area.AUDIO else unfinished
        after = None
        while True:
            page = await files.page(f"{area}/", after=after)
            left = [
                held.name for held in page.held if held.made_at < at - LEFT_FOR and file_of(held.name) not in needed
            ]
            if left and deletes:
                await files.delete(left)
            swept.left, swept.kept = swept.left + len(left), swept.kept + len(page.held) - len(left)
            progress.update(looking, advance=len(page.held))
            after = page.after
            if after is None:
                break
    return swept


async def _named(store: Store) -> AsyncIterator[str]:
    """Yield the audio file of each memo, also of simulated ones, which have no object."""
    after = None
    while True:
        page = await store.scan(MEMOS, after=after)
        for row in page.rows:
            yield row.document["audio_url"].rpartition("/")[2]
        after = page.after
        if after is None:
            return
