"""Import the predecessor's users, keys, memos and history. docs/moving.md has the order of a move.

python -m tools.moving --from sqlite:agent-talk.sqlite
python -m tools.moving --from sqlite:agent-talk.sqlite --audio public/audio --write
python -m tools.moving --from micro:http://localhost:3000 --write
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from shared.audio.files import AudioPlaceFailed
from shared.audio.opening import open_audio
from shared.core.clock import Clock, utc_now
from shared.core.settings import Settings, SettingsError, StoreChoice
from shared.stores.port import Store, StoreError
from shared.tables import Tables
from tools.maintain.opened import Impossible, maintenance_settings, opened_store
from tools.maintain.where import where
from tools.moving.audio import AudioMover
from tools.moving.findings import Findings
from tools.moving.mover import Mover
from tools.moving.planning import Planner
from tools.moving.sources import Source, opened_source
from tools.moving.working_copy import HISTORY, OldKind, WorkingCopy, working_copy

REPORT = Path(".local/moving.ndjson")


def main(arguments: list[str] | None = None, *, environ: Mapping[str, str] = os.environ, clock: Clock = utc_now) -> int:
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options, environ, clock))
    except SettingsError as exc:
        print(*exc.problems, sep="\n", file=sys.stderr)
    except Impossible as exc:
        print(exc, file=sys.stderr)
    except (StoreError, AudioPlaceFailed) as exc:
        print(f"{'the store failed: ' if isinstance(exc, StoreError) else ''}{exc}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: what is done stays done; the same command does the rest", file=sys.stderr)
        return 130
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.moving",
        description="Move the predecessor's users, keys, memos and history into the store that the environment names. "
        "Without --write it writes nothing but its report. Run it again to go on after a stop, and to catch up with "
        "what has changed since; for the last pass the predecessor must be stopped.",
    )
    parser.add_argument("--from", dest="source", required=True, metavar="sqlite:FILE|micro:URL")
    parser.add_argument("--write", action="store_true", help="move; without, say only what would be moved")
    parser.add_argument(
        "--create-table",
        action="store_true",
        help="make the target's DynamoDB table if it is missing: without the protection that infrastructure gives it",
    )
    parser.add_argument("--audio", type=Path, metavar="DIR", help="the folder with the predecessor's audio files")
    parser.add_argument(
        "--report", type=Path, default=REPORT, help="each row that does not come as it was (default: %(default)s)"
    )
    return parser


async def _run(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    if options.audio is not None and not options.audio.is_dir():
        raise Impossible(f"there is no folder {options.audio}")
    settings = _target(environ, audio=options.audio is not None) if options.write else None
    console, now = Console(), clock()
    console.print(
        f"From {options.source}\nto   {where(settings) if settings else 'nowhere: this is a dry run'}", soft_wrap=True
    )
    if settings is not None and options.source.rstrip("/") == f"micro:{settings.hypr_url}":
        console.print("They are one server: stop the predecessor first, which would meet our documents among its own.")
    with _opened_report(options.report) as lines, working_copy(now=now) as copy:
        findings = Findings(lines)
        async with opened_source(options.source, environ) as source:
            await _read(source, copy, findings, console)
        planner = Planner(copy, findings, now=now)
        with _progress(console) as progress:
            task = progress.add_task("moving" if settings else "looking", total=_rows(copy))
            if settings is None:
                planner.dry_run(lambda rows: progress.advance(task, rows))
            else:
                async with AsyncExitStack() as stack:
                    store = await stack.enter_async_context(opened_store(settings, creates_table=options.create_table))
                    audio = await _audio(settings, options.audio, store, findings, stack)
                    await Mover(planner, store, clock=clock, audio=audio).move(
                        lambda rows: progress.advance(task, rows)
                    )
            progress.update(task, completed=_rows(copy))
        findings.conclude()
    findings.show(console)
    if planner.old_hashes:
        console.print(
            f"{planner.old_hashes} accounts have a password of bcrypt's until they log in: until then FAILED_LOGIN_MS "
            "must be longer than its check takes.",
            soft_wrap=True,
        )
    console.print(f"Each of these rows: {options.report}", soft_wrap=True)
    if settings is None:
        console.print("Nothing was written. With --write it is.")
    return 0


async def _read(source: Source, copy: WorkingCopy, findings: Findings, console: Console) -> None:
    with console.status("reading"):
        await copy.fill(source, findings)
    if copy.count(OldKind.USERS) == 0:
        raise Impossible("the source has no users: is it the right one?")


async def _audio(
    settings: Settings, folder: Path | None, store: Store, findings: Findings, stack: AsyncExitStack
) -> AudioMover | None:
    if folder is None:
        return None
    place = open_audio(settings.audio)
    stack.push_async_callback(place.close)
    if place.files is None:
        raise Impossible("--audio: no place for audio is chosen: set AUDIO and what it needs")
    return AudioMover(Tables.on(store), place.files, folder, findings)


def _target(environ: Mapping[str, str], *, audio: bool) -> Settings:
    settings = maintenance_settings(environ, audio=audio)
    if settings.store is StoreChoice.MEMORY and settings.memory_file is None:
        raise Impossible("no store is chosen but this process's own memory: set AGENT_TALK_STORE and what it needs")
    return settings


def _opened_report(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8")
    except OSError as exc:
        raise Impossible(f"the report cannot be written to {path}: {exc.strerror}") from exc


def _rows(copy: WorkingCopy) -> int:
    return sum(copy.count(kind) for kind in (OldKind.USERS, *HISTORY))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    sys.exit(main())
