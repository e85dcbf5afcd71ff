"""Ids and URLs of the predecessor still work, and are deleted with their account."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.audio.files import owner_digest
from shared.audio.folder import FolderFiles
from shared.audio.opening import AudioPlace, nothing_to_close
from shared.jobs.worked import always, silent
from shared.services import Services
from shared.stores.port import StoreUnavailable
from shared.tables import Tables
from shared.tables.schema import MOVED
from tests.handlers.world import PUBLIC_URL, World
from tests.support import CountingStore, FailingStore, racing_store
from tests.tools.moving.predecessor import (
    LIVE,
    MOVED_AT,
    OTHER,
    PASSWORD,
    GivenSource,
    content,
    key_row,
    log_row,
    memo_row,
    move,
    small,
    user_row,
)

pytestmark = pytest.mark.thorough

STORES = ("memory", "micro", "dynamodb")


@pytest.fixture
def old_audio(tmp_path: Path) -> Path:
    """Return the predecessor's folder of audio, with one memo's file."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "memo_1.mp3").write_bytes(b"ID3 audio of the first memo")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> FolderFiles:
    return FolderFiles(tmp_path / "audio")


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest, files: FolderFiles) -> Iterator[World]:
    world = World(store=request.param, audio=AudioPlace(lambda: (files, nothing_to_close)))
    world.clock.at = MOVED_AT
    yield world
    world.close()


def moved(world: World, files: FolderFiles, folder: Path, rows: Any = None) -> list[dict[str, Any]]:
    source = GivenSource(small() if rows is None else rows)
    return world.run(move(source, world.store, files=files, folder=folder))


def test_old_memo_id_leads_to_the_memo(world: World, files: FolderFiles, old_audio: Path) -> None:
    """GET, PATCH and DELETE take the old id. Another owner gets the same answer as for an unknown id."""
    moved(world, files, old_audio)
    memo = world.get("/api/v1/memo/memo_1", token=LIVE).json
    assert (memo["text"], memo["voice"]["id"], memo["createdAt"]) == ("Hello", "sam", "2026-11-28T09:10:11.000Z")
    assert world.get(f"/api/v1/memo/{memo['id']}", token=LIVE).json == memo
    assert world.patch("/api/v1/memo/memo_1", token=LIVE, json={"title": "Kept"}).json["title"] == "Kept"
    stranger = world.sign_up()
    foreign = world.get("/api/v1/memo/memo_1", token=stranger.key)
    assert foreign.refusal == world.get("/api/v1/memo/memo_9", token=stranger.key).refusal
    assert foreign.status == 404
    assert world.delete("/api/v1/memo/memo_1", token=LIVE).status == 200
    assert world.get("/api/v1/memo/memo_1", token=LIVE).status == 404


def test_old_audio_url_leads_to_the_copy(world: World, files: FolderFiles, old_audio: Path) -> None:
    """Copied audio has a new URL below its owner's prefix, and is served at the old path too, until it is deleted."""
    moved(world, files, old_audio)
    url = world.get("/api/v1/memo/memo_1", token=LIVE).json["audio"]["url"]
    user_id = world.run(Tables.on(world.store).moved.user("user_1"))
    assert user_id is not None
    assert url.startswith(f"{PUBLIC_URL}/audio/{owner_digest(user_id['user_id'])}-")
    for path in (url.removeprefix(PUBLIC_URL), "/audio/memo_1.mp3"):
        answer = world.get(path, headers={"range": "bytes=0-2"})
        assert (answer.status, answer.body, answer.headers["content-type"]) == (206, b"ID3", "audio/mpeg")
    assert world.get("/audio/memo_7.mp3").status == 404
    assert world.delete("/api/v1/memo/memo_1", token=LIVE).status == 200
    assert world.get("/audio/memo_1.mp3").status == 404


def test_audio_that_is_not_copied_keeps_its_url(world: World, files: FolderFiles, old_audio: Path) -> None:
    """A file that is not in the folder is reported; its memo's URL is the old one. It can be copied later."""
    lines = moved(world, files, old_audio)
    missing = [line["id"] for line in lines if "not in the folder" in line.get("why", "")]
    assert missing == ["memo_2"]
    old_url = "https://talk.example.org/audio/memo_2.mp3"
    assert world.get("/api/v1/memo/memo_2", token=LIVE).json["audio"]["url"] == old_url
    (old_audio / "memo_2.mp3").write_bytes(b"found again")
    rows = small()
    rows["users"][0]["updated_at"] = "2026-11-28T11:00:00.000Z"
    moved(world, files, old_audio, rows)
    assert world.get("/audio/memo_2.mp3").body == b"found again"
    assert world.get("/api/v1/memo/memo_2", token=LIVE).json["audio"]["url"].startswith(f"{PUBLIC_URL}/audio/")


def test_closing_a_moved_account_leaves_nothing(world: World, files: FolderFiles, old_audio: Path) -> None:
    """The rows that map its old ids and audio names are deleted with it, and so is the audio. Another account's rows
    stay."""
    moved(world, files, old_audio)
    user = world.run(Tables.on(world.store).moved.user("user_1"))
    assert user is not None
    token = log_in(world)
    assert world.send("DELETE", "/api/v1/auth/me", token=token, json={"password": PASSWORD}).status == 200
    world.later(days=1, minutes=1)
    audio_place = AudioPlace(lambda: (files, nothing_to_close))
    housekeeping = Services.on(world.store, world.built[-1].settings, clock=world.clock, audio=audio_place)
    world.run(housekeeping.closing.work(always, silent))
    assert world.run(files.page("audio/")).held == []
    left = world.run(content(world.store))
    assert left[MOVED.name].count == 2  # the other user's


def log_in(world: World) -> str:
    tables = Tables.on(world.store)
    mapped = world.run(tables.moved.user("user_1"))
    assert mapped is not None
    email = world.run(tables.users.load(mapped["user_id"])).email
    answer = world.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status == 200
    token: str = answer.json["token"]
    return token


@pytest.mark.parametrize("name", ["../secret.mp3", "..%2Fsecret.mp3", ".secret.mp3", "sub/secret.mp3"])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path, old_audio: Path, files: FolderFiles) -> None:
    """A URL in the predecessor's rows copies no file but those that the folder itself has."""
    for place in (tmp_path / "secret.mp3", old_audio / ".secret.mp3"):
        place.write_bytes(b"secret")
    world = World()
    url = f"https://talk.example.org/audio/{name}"
    rows = {"users": [user_row()], "api_keys": [key_row(LIVE)], "memos": [memo_row(audio_url=url)]}
    moved(world, files, old_audio, rows)
    assert world.run(files.page("audio/")).held == []
    world.close()


def test_audio_of_one_name_stays_its_first_memos(old_audio: Path, files: FolderFiles) -> None:
    """Two memos with one file: each gets a copy, the old URL leads to the first, and that is reported."""
    world = World(audio=AudioPlace(lambda: (files, nothing_to_close)))
    url = "https://talk.example.org/audio/memo_1.mp3"
    second = memo_row("memo_8", user="user_2", audio_url=url, api_key_id=None)
    rows = {"users": [user_row(), user_row("user_2")], "api_keys": [key_row(LIVE), key_row(OTHER, user="user_2")]}
    lines = moved(world, files, old_audio, rows | {"memos": [memo_row(), second], "usage_logs": [log_row()]})
    assert [line["id"] for line in lines if "another memo's too" in line.get("why", "")] == ["memo_8"]
    assert len(world.run(files.page("audio/")).held) == 2
    assert world.get("/audio/memo_1.mp3").status == 200
    world.close()


@pytest.mark.anyio
@pytest.mark.parametrize("first", [True, False], ids=["with", "without"])
async def test_move_that_was_killed_can_go_on_with_audio(*, first: bool, old_audio: Path, files: FolderFiles) -> None:
    """A move that was killed, with or without --audio, continues with it: the memo gets the URL of its copy."""
    rows, with_audio = {"users": [user_row()], "memos": [memo_row()]}, {"files": files, "folder": old_audio}
    counting = CountingStore(racing_store(0))
    await move(GivenSource(rows), counting)
    for number in range(counting.calls.total()):
        store = racing_store(number)
        failing = FailingStore(store, at=number, lost=True, for_good=True)
        with pytest.raises(StoreUnavailable):
            await move(GivenSource(rows), failing, **(with_audio if first else {}))  # type: ignore[arg-type]
        await move(GivenSource(rows), store, **({} if first else with_audio))  # type: ignore[arg-type]
        await move(GivenSource(rows), store, **with_audio)  # type: ignore[arg-type]
        tables = Tables.on(store)
        mapped = await tables.moved.user("user_1")
        assert mapped is not None
        memo = await tables.memos.load(mapped["user_id"], "memo_1")
        file = await tables.moved.audio_file("memo_1.mp3")
        assert memo.audio_url == f"/audio/{file}", number
        page = await tables.moved.page(mapped["user_id"], after=None, limit=10)
        assert [row.document["audio"] is not None for row in page.rows if "memo_id" in row.document] == [True]
