"""Change lines at random, and check whether the tests that cover them fail: `python -m tests.mutants [--seed N …]`.

1. The tests run once on the unchanged code, and coverage records the tests of each line. A test that fails then is
   printed and left out, since it proves nothing about a change. If the tests cannot run at all, there is no figure.
2. cosmic-ray lists its possible changes for each place: another operator, another number, a negated condition. For
   each seed a sample of places is drawn, and one change at each.
3. In a copy of the tree each change is applied, and the tests that cover its lines run until one fails.

A change that no test notices is printed as a diff: either a test is missing, or the change makes no difference.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants import recorder

ROOT: Final = Path(__file__).parents[2]
SCOPE: Final = ("shared", "handlers")
SEEDS: Final = (1, 2, 3)
SAMPLE: Final = 30
"""Places for one seed. Each costs a start of pytest and its tests, some ten seconds."""

SLOWER: Final = 5
START_S: Final = 60
"""A change that makes an endless loop is noticed when its tests take this many times as long, and a start more."""

NOT_COPIED: Final = shutil.ignore_patterns(
    ".git", ".venv*", ".local", ".hypothesis", ".*_cache", "build", "node_modules", "__pycache__"
)
REPORT: Final = "report.json"
ANNOTATIONS: Final = "core/ReplaceBinaryOperator_BitOr_"
"""Changes of `|`, which is nearly always in annotations: their failure at import proves nothing about tests."""

DATACLASSES: Final = "@dataclass("
"""Lines with this beginning are not changed either: mypy checks whether a class is frozen, not the tests."""

OF_SOURCES: Final = ("tests/test_house.py::", "tests/test_models.py::", "tests/test_secrets.py::")
"""Tests that read the sources, or the effects of importing them: coverage cannot assign them to lines."""

NOTHING: Final = 5
"""pytest's exit status if it ran no test."""

Lines = Mapping[str, Mapping[int, frozenset[str]]]
"""The tests of each line of each file, as pytest names them: `tests/core/test_clock.py::test_x`."""


@dataclass(frozen=True, kw_only=True)
class Mutation:
    path: str
    operator: str
    occurrence: int
    first: int
    last: int

    @property
    def place(self) -> tuple[str, int, int]:
        return self.path, self.first, self.last


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, action="append", help="a sample's seed; may be repeated (default: 1, 2, 3)")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="changes of each seed (default: %(default)s)")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="tests to take into account (default: all)")
    parser.add_argument("scope", nargs="*", default=list(SCOPE), help="files or folders to change")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = _copy_of_the_tree(Path(folder))
        _run_unchanged(tree, options.tests)
        durations = _durations(tree)
        lines = _covered(tree, durations.keys())
        mutations = [mutation for mutation in _mutations(tree, options.scope) if mutation.path in lines]
        always = [test for test in durations if test.startswith(OF_SOURCES)]
        noticed = total = 0
        for seed in options.seed or SEEDS:
            for mutation in _sample(mutations, seed, options.sample):
                tests = [*_tests_of(mutation, lines, durations.keys()), *always]
                print(f"{mutation.path}:{mutation.first}, with {len(tests)} tests", file=sys.stderr, flush=True)
                total += 1
                noticed += _is_noticed(tree, mutation, tests, durations)
            print(f"seed {seed}: {noticed} of {total} noticed so far", flush=True)
    print(f"{noticed} of {total} changes noticed: {100 * noticed / max(1, total):.1f} %")
    return 0


def _copy_of_the_tree(folder: Path) -> Path:
    return shutil.copytree(ROOT, folder / "tree", ignore=NOT_COPIED)


def _run_unchanged(tree: Path, tests: Sequence[str]) -> None:
    """Run the tests under coverage, with a report of each. Exits if they cannot be collected."""
    (tree / ".coveragerc").write_text(f"[run]\nsource = {','.join(SCOPE)}\ndata_file = {tree}/.coverage\n")
    recorded = ("-p", recorder.__name__, "-n", "0", "--hypothesis-seed=0")
    done = _python(tree, "-m", "coverage", "run", "-m", "pytest", *recorded, *tests)
    if done.returncode > 1:
        sys.exit(f"the tests cannot be run on the unchanged code:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _durations(tree: Path) -> Mapping[str, float]:
    """Return the seconds of each test that passes on the unchanged code. Prints the names of the others."""
    report: Mapping[str, tuple[float, bool]] = json.loads((tree / REPORT).read_text())
    failed = sorted(test for test, (_, passed) in report.items() if not passed)
    print(f"{len(report) - len(failed)} tests; left out, since they fail without a change: {len(failed)}", flush=True)
    print(*failed, sep="\n", flush=True)
    return {test: seconds for test, (seconds, passed) in report.items() if passed}


def _covered(tree: Path, passing: AbstractSet[str]) -> Lines:
    """Return the passing tests that run each line."""
    query = (
        "select file.path, context.context, line_bits.numbits from line_bits "
        "join file on file.id = file_id join context on context.id = context_id"
    )
    found: dict[str, dict[int, set[str]]] = {}
    with sqlite3.connect(tree / ".coverage") as data:
        for path, context, bits in data.execute(query):
            covered = found.setdefault(str(Path(path).relative_to(tree)), {})
            for line in _numbers(bits):
                covered.setdefault(line, set()).update({context} & passing)
    return {path: {line: frozenset(of) for line, of in covered.items()} for path, covered in found.items()}


def _numbers(bits: bytes) -> list[int]:
    """Return the line numbers in a row of coverage's: bit n of the bytes is line n."""
    return [8 * index + bit for index, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1]


def _mutations(tree: Path, scope: Sequence[str]) -> list[Mutation]:
    (tree / "mutants.toml").write_text(
        f"[cosmic-ray]\nmodule-path = {json.dumps(list(scope))}\ntimeout = {START_S}\n"
        'excluded-modules = []\ntest-command = ""\n[cosmic-ray.distributor]\nname = "local"\n'
    )
    _cosmic_ray(tree, "init", "mutants.toml", "mutants.sqlite")
    dumped = _cosmic_ray(tree, "dump", "mutants.sqlite")
    known = (given for line in dumped.splitlines() for given in json.loads(line)[0]["mutations"])
    drawn = [
        Mutation(
            path=given["module_path"],
            operator=given["operator_name"],
            occurrence=given["occurrence"],
            first=given["start_pos"][0],
            last=given["end_pos"][0],
        )
        for given in known
        if not given["operator_name"].startswith(ANNOTATIONS)
    ]
    texts = {path: (tree / path).read_text().splitlines() for path in {mutation.path for mutation in drawn}}
    return [each for each in drawn if not texts[each.path][each.first - 1].lstrip().startswith(DATACLASSES)]


def _sample(mutations: Sequence[Mutation], seed: int, size: int) -> list[Mutation]:
    """Draw places, and one change at each: drawn directly, an operator's twelve changes would outweigh a condition."""
    chosen = random.Random(seed)  # noqa: S311 a sample must be repeatable, not secret
    by_place: dict[tuple[str, int, int], list[Mutation]] = {}
    for mutation in mutations:
        by_place.setdefault(mutation.place, []).append(mutation)
    places = chosen.sample(sorted(by_place), min(size, len(by_place)))
    return [chosen.choice(by_place[place]) for place in places]


def _tests_of(mutation: Mutation, lines: Lines, passing: AbstractSet[str]) -> list[str]:
    """Return the tests that run the changed lines.

    For a line that only an import runs: the tests of any line of its file, and those of the folder that mirrors it.
    """
    covered = lines[mutation.path]
    changed = range(mutation.first, mutation.last + 1)
    tests = frozenset[str]().union(*(covered.get(line, frozenset()) for line in changed))
    if tests:
        return sorted(tests)
    folders = Path("tests", mutation.path.removeprefix("shared/")).parents
    mirror = next(str(folder) for folder in folders if (ROOT / folder).is_dir())
    tests = frozenset({test for test in passing if test.startswith(f"{mirror}/")})
    return sorted(tests.union(*covered.values()))


def _is_noticed(tree: Path, mutation: Mutation, tests: Sequence[str], durations: Mapping[str, float]) -> bool:
    """Apply a change, run its tests, the shortest first, and undo it. Prints the change unless a test fails."""
    ordered = sorted(set(tests), key=durations.__getitem__)
    timeout_s = START_S + SLOWER * sum(durations[test] for test in tests)
    file = tree / mutation.path
    before = file.read_text()
    _cosmic_ray(tree, "apply", mutation.path, mutation.operator, str(mutation.occurrence))
    try:
        arguments = ("-m", "pytest", "-n", "0", "-x", "--hypothesis-seed=0", *ordered)
        status = _python(tree, *arguments, timeout_s=timeout_s).returncode
    except subprocess.TimeoutExpired:
        status = 1
    after = file.read_text()
    file.write_text(before)
    if tests and status not in (0, NOTHING):
        return True
    print(f"not noticed by {len(tests)} tests: {mutation.path}:{mutation.first} {mutation.operator}")
    for number, (old, new) in enumerate(zip(before.splitlines(), after.splitlines(), strict=False), 1):
        if old != new:
            print(f"  {number} - {old.strip()}\n  {number} + {new.strip()}", flush=True)
    return False


def _python(tree: Path, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", recorder.REPORT: str(tree / REPORT)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def _cosmic_ray(tree: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "cosmic_ray.cli", *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
