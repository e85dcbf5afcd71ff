"""`python -m tools.maintain copy`: its refusals, its output, and its continuation after an interruption."""

import asyncio
import json
import re
import signal
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from shared.core.clock import Clock
from shared.core.settings import Settings
from shared.stores.memory.file import shared_rows
from shared.stores.memory.store import MemoryStore
from shared.stores.port import Document, Key, Table, serialised
from shared.tables import MEMOS, USERS
from tests.fakes.standin import KEY
from tests.stores.micro.test_served import Served
from tests.support import NOON, seeded
from tools.maintain.__main__ import main
from tools.maintain.where import where

TABLE = "agent-talk-of-a-test"


@dataclass(frozen=True, kw_only=True)
class Ends:
    """A memory file, and the settings of the other end."""

    folder: Path
    other: str
    environ: Mapping[str, str] = field(default_factory=dict)
    capsys: pytest.CaptureFixture[str]

    @property
    def file(self) -> Path:
        return self.folder / "rows.json"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    def holds(self, table: Table, documents: Mapping[str, Document]) -> None:
        """Write rows of Ada's into the file, in one step."""
        with shared_rows(self.file)(writes=True) as rows:
            for sort, document in documents.items():
                rows.table(table)["ada", sort] = serialised(document)

    def holds_no(self, table: Table, sort: str) -> None:
        asyncio.run(MemoryStore(rows=shared_rows(self.file)).delete(table, Key("ada", sort)))

    def counts(self, name: str) -> None:
        asyncio.run(MemoryStore(rows=shared_rows(self.file)).increment(name))

    def copy(self, *options: str, back: bool = False, clock: Clock = lambda: NOON, **environ: str) -> tuple[int, str]:
        """Run the command. Returns the exit status, and the output."""
        source, target = (self.other, "memory") if back else ("memory", self.other)
        status = main(
            ["copy", "--from", source, "--to", target, "--state", str(self.state), *options],
            environ={"AGENT_TALK_MEMORY_FILE": str(self.file), **self.environ, **environ},
            clock=clock,
        )
        said = self.capsys.readouterr()
        return status, said.out + said.err


@pytest.fixture
def micro(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Ends]:
    served = Served()
    environ = {"HYPR_URL": served.start(), "HYPERMICRO_API_KEY": KEY}
    yield Ends(folder=tmp_path, other="micro", environ=environ, capsys=capsys)
    served.stop()


@pytest.fixture
def dynamodb(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # boto3 looks nowhere else
    with mock_aws():
        yield Ends(folder=tmp_path, other="dynamodb", environ={"DYNAMODB_TABLE": TABLE}, capsys=capsys)


@pytest.fixture(params=["micro", pytest.param("dynamodb", marks=pytest.mark.thorough)])
def ends(request: pytest.FixtureRequest) -> Ends:
    """Return both ends, with some rows in the file."""
    ends: Ends = request.getfixturevalue(request.param)
    ends.holds(USERS, {"u1": {"email": "ada@example.org"}})
    ends.holds(MEMOS, {f"m{number}": {"n": number} for number in range(5)})
    ends.counts("users")
    return ends


def test_everything_is_copied_there_and_back(ends: Ends) -> None:
    status, said = ends.copy("--create-table")
    assert status == 0, said
    assert re.search(r"memos +━+ 5/5 100%", said)
    assert "memos: 5 in the source, 5 in the target, the same" in said
    assert "Both hold the same." in said
    assert not ends.state.exists()
    before = ends.file.read_text()
    ends.file.unlink()
    assert ends.copy(back=True)[0] == 0
    assert json.loads(ends.file.read_text()) == json.loads(before)


def test_both_ends_are_told_before_anything_is_done(ends: Ends) -> None:
    _, said = ends.copy("--create-table")
    first, second = said.splitlines()[:2]
    assert first == f"From memory, file {ends.file}"
    assert second.startswith("to   ")
    assert (ends.environ.get("HYPR_URL") or f"table {TABLE} at https://dynamodb.us-east-1.amazonaws.com") in second
    assert KEY not in said


def test_copy_deletes_from_the_target_only_when_asked(ends: Ends) -> None:
    """Rows that only the target has are counted, and stay unless --delete is given."""
    ends.copy("--create-table")
    ends.holds_no(MEMOS, "m1")
    ends.holds_no(MEMOS, "m2")
    status, said = ends.copy()
    assert status == 1
    assert "memos: 3 in the source, 5 in the target, 2 more" in said
    assert "More in the target than in the source: memos." in said
    assert "--delete" in said
    status, said = ends.copy("--delete")
    assert status == 0
    assert "memos: 3 in the source, 3 in the target, the same" in said


def test_copy_never_empties_a_table_for_an_empty_source(ends: Ends) -> None:
    """A table of which the source has no row at all is not emptied: --from and --to may be swapped."""
    ends.copy("--create-table")
    for number in range(5):
        ends.holds_no(MEMOS, f"m{number}")
    status, said = ends.copy("--delete")
    assert status == 2
    assert "memos: the source has none at all" in said
    status, said = ends.copy()
    assert "Going on" not in said, "what was refused was not interrupted"
    assert status == 1
    assert "memos: 0 in the source, 5 in the target, 5 more" in said


def test_a_file_that_is_not_there_is_no_empty_source(ends: Ends) -> None:
    typo = ends.folder / "rowz.json"
    status, said = ends.copy("--delete", "--create-table", AGENT_TALK_MEMORY_FILE=str(typo))
    assert status == 2
    assert f"there is no {typo}" in said
    assert not typo.exists()


def test_copy_refuses_a_source_that_does_not_exist(dynamodb: Ends) -> None:
    """A source whose table does not exist is an error, no empty source, and the table is not created."""
    dynamodb.holds(MEMOS, {"m1": {}})
    before = dynamodb.file.read_text()
    status, said = dynamodb.copy("--delete", "--create-table", back=True)
    assert status == 2
    assert "the store failed: there is no such table" in said
    assert dynamodb.file.read_text() == before
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []


def test_a_source_without_any_row_is_refused(ends: Ends) -> None:
    before = ends.file.read_text()
    if ends.other == "dynamodb":
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    status, said = ends.copy("--delete", back=True)
    assert status == 2
    assert "the store holds no rows" in said
    assert ends.file.read_text() == before


@pytest.mark.parametrize("env", ["development", "production"])
def test_the_targets_table_is_made_only_if_one_asks_for_it(dynamodb: Ends, env: str) -> None:
    dynamodb.holds(MEMOS, {"m1": {}})
    status, said = dynamodb.copy(AGENT_TALK_ENV=env)
    assert status == 2
    assert "the table that DYNAMODB_TABLE names is missing" in said
    assert dynamodb.copy("--create-table", AGENT_TALK_ENV=env)[0] == 0


@pytest.mark.thorough
def test_what_was_interrupted_goes_on_after_its_last_page(dynamodb: Ends) -> None:
    page = {f"m{number:02}": {"text": "a" * 100_000} for number in range(9)}
    too_long = b64encode(seeded(1).randbytes(450_000)).decode()
    dynamodb.holds(MEMOS, {**page, "m09": {"text": "b" * 100_000}, "m10": {"text": too_long}})
    status, said = dynamodb.copy("--create-table")
    assert status == 2
    assert "the store failed: the target does not take memos ada m10" in said
    dynamodb.holds(MEMOS, {"m00": {"text": "changed behind its back"}, "m10": {"text": "short"}})
    status, said = dynamodb.copy()
    assert status == 1
    assert "Continuing with memos, where the last copy was interrupted." in said
    assert "memos: 11 in the source, 11 in the target, NOT the same" in said
    assert dynamodb.copy()[0] == 0


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Handle SIGINT for the block: a shell ignores it for its background jobs, where these tests must pass too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupting() -> datetime:
    signal.raise_signal(signal.SIGINT)
    return NOON


def test_copy_says_how_to_go_on_when_interrupted(ends: Ends) -> None:
    """An interruption prints that the same command does the rest."""
    status, said = ends.copy("--create-table", clock=interrupting)
    assert status == 130
    assert "the same command does the rest" in said
    assert "Traceback" not in said
    status, said = ends.copy()
    assert status == 0
    assert "Continuing with counters" in said


def test_a_place_in_a_copy_to_elsewhere_is_none_in_this_one(dynamodb: Ends) -> None:
    dynamodb.holds(MEMOS, {"m1": {}})
    dynamodb.counts("users")
    dynamodb.copy("--create-table", clock=interrupting)
    status, said = dynamodb.copy("--create-table", DYNAMODB_TABLE="another-table")
    assert status == 0
    assert "Starting over" in said
    assert "memos: 1 in the source, 1 in the target, the same" in said


WHOLE = {"name": "counters", "after": None, "seal": "f" * 64}


@pytest.mark.parametrize(
    "state",
    ["", "{", "[]", "null", "7", '"memos"', "{}", '{"name": "counters", "after": null}', json.dumps(WHOLE), "\ud800"],
)
@pytest.mark.thorough
def test_a_file_that_tells_no_place_means_to_begin_anew(micro: Ends, state: str) -> None:
    micro.holds(MEMOS, {"m1": {}})
    micro.state.write_bytes(state.encode(errors="surrogatepass"))
    status, said = micro.copy()
    assert status == 0
    assert "Starting over" in said


def test_a_place_whose_cursor_was_changed_is_none(dynamodb: Ends) -> None:
    dynamodb.holds(MEMOS, {"m1": {}})
    dynamodb.counts("users")
    dynamodb.copy("--create-table", clock=interrupting)
    kept = json.loads(dynamodb.state.read_text())
    dynamodb.state.write_text(json.dumps(kept | {"after": "junk"}))
    status, said = dynamodb.copy()
    assert status == 0
    assert "Starting over" in said


def test_copy_stops_first_when_its_state_cannot_be_written(micro: Ends) -> None:
    """A state file that cannot be written is an error before anything is copied."""
    micro.holds(MEMOS, {"m1": {}})
    micro.state.mkdir()
    status, said = micro.copy()
    assert status == 2
    assert "the position of the copy cannot be written" in said


def test_where_names_a_server_without_its_key_or_slug() -> None:
    own = {"HYPR_URL": "https://micro.example.org/", "HYPERMICRO_API_KEY": "k3y"}
    platform = {"AGENT_TALK_STORE": "micro", "HYPR_PLATFORM_URL": "https://example.org", "HYPR_APP_SLUG": "mine"}
    assert where(Settings.from_env(own)) == "HYPR Micro at https://micro.example.org"
    assert where(Settings.from_env(platform)) == "HYPR Micro, app 3fd30542 at https://example.org"


def test_without_a_region_it_is_told_what_is_missing(dynamodb: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    dynamodb.holds(MEMOS, {"m1": {}})
    status, said = dynamodb.copy()
    assert status == 2
    assert "set AWS_DEFAULT_REGION" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "micro", "--to", "micro"], "name the same store"),
        (["--from", "memory", "--to", "micro"], "AGENT_TALK_MEMORY_FILE is missing"),
        (["--from", "micro", "--to", "memory"], "HYPR Micro needs"),
    ],
)
def test_a_copy_that_makes_no_sense_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["copy", *arguments], environ={}) == 2
    assert said in capsys.readouterr().err
