"""Each page is run from top to bottom in a copy of the checkout, as a newcomer would follow it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from tests.docs.pages import PAGES, ROOT, Block, blocks_of, copy_checkout, is_printed

RUN: Final = [page for page in PAGES if any(block.runs for block in blocks_of((ROOT / page).read_text()))]
NEEDED: Final = ("bash", "curl", "git", "make")
MISSING: Final = [program for program in NEEDED if shutil.which(program) is None]

with_a_shell = pytest.mark.skipif(bool(MISSING), reason=f"the pages use programs that are not here: {MISSING}")


@with_a_shell
@pytest.mark.parametrize("page", RUN)
@pytest.mark.thorough
def test_page_runs_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    """Every command of a page succeeds in its order, prints what the page shows, and leaves no file to be committed."""
    markdown = (ROOT / page).read_text()
    for folder in ("first", "second"):
        began = datetime.now(UTC).date()
        checkout = copy_checkout(tmp_path / folder)
        problems = checkout.run_page(markdown)
        if datetime.now(UTC).date() == began:  # otherwise a memo of yesterday may count today: repeat once
            break
    assert problems == []
    assert checkout.leftovers() == sorted(f"?? {block.saved_as}" for block in blocks_of(markdown) if block.saved_as)


def test_readme_is_among_the_pages_that_run() -> None:
    """A README whose blocks were all skipped would pass every other test here."""
    blocks = blocks_of((ROOT / "README.md").read_text())
    assert "README.md" in RUN
    assert sum(block.printed is not None for block in blocks) >= 5


@pytest.mark.parametrize("page", PAGES)
def test_page_skips_no_block_without_a_reason(page: str) -> None:
    """Each block of commands is run, serves, or has a reason not to run; any other marker is a typing error."""
    marked = [block for block in blocks_of((ROOT / page).read_text()) if block.marker is not None]
    assert [block.line for block in marked if not (block.serves or block.skip_reason)] == []


def test_readme_skips_no_block() -> None:
    """A newcomer needs Python, `make` and curl only: blocks that need Node, AWS or another server are in docs/."""
    assert [block.line for block in blocks_of((ROOT / "README.md").read_text()) if block.skip_reason] == []


def test_readme_can_be_read_in_one_sitting() -> None:
    """The README has at most 180 lines: the rest is in docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180


def test_blocks_are_read_with_markers_and_output() -> None:
    """A comment directly before a fence marks it, and a block of output directly after it belongs to it."""
    read = blocks_of(
        "a\n\n<!-- skip: needs Node -->\n```sh\nx\n```\n\n```text\nfirst …\n```\n\nb\n\n```json\n{}\n```\n"
    )
    assert read == [
        Block(line=4, language="sh", text="x\n", marker="skip: needs Node", printed="first …\n"),
        Block(line=14, language="json", text="{}\n", marker=None),
    ]


@pytest.mark.parametrize(
    ("printed", "matches"),
    [("key: at_live_x\nend", True), ("key: at_live_\nend", True), ("key: at_test_x\nend", False), ("end", False)],
)
def test_output_matches_around_ellipses_only(printed: str, *, matches: bool) -> None:
    """`…` stands for any text, and all other characters for themselves."""
    assert is_printed("key: at_live_…\nend\n", printed) is matches


@with_a_shell
def test_page_that_prints_something_else_is_refused(tmp_path: Path) -> None:
    """Wrong output and a failing command are reported with their lines; commands after a failure do not run."""
    checkout = copy_checkout(tmp_path)
    page = "```sh\necho one\n```\n\n```text\ntwo\n```\n\n```sh\nfalse\n```\n\n```sh\ntouch never\n```\n"
    wrong, failed = checkout.run_page(page)
    assert wrong == "line 1 printed\none\n\nand the page shows\ntwo\n"
    assert failed.startswith("line 9 exits with 1")
    assert not (checkout.path / "never").exists()


@with_a_shell
def test_file_that_a_page_leaves_is_found(tmp_path: Path) -> None:
    """A key that a page writes into the checkout would be committed by the next `git add`."""
    checkout = copy_checkout(tmp_path)
    assert checkout.run_page("```sh\necho at_live_x > account.json\necho at_live_x > .env.mine\n```\n") == []
    assert checkout.leftovers() == ["?? account.json"]
