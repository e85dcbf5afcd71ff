"""Old ids lead to the rows that moved in under them, each for its owner alone."""

import pytest

from shared.stores.port import AlreadyExists, Document, Key, Store, Table
from shared.tables.moved import MovedIds, digest_of
from tests.support import Intercepted

pytestmark = pytest.mark.anyio

ADA = "0" * 32
BOB = "b" * 32
MEMO = "1" * 32


async def test_unknown_old_ids_lead_nowhere(store: Store) -> None:
    moved = MovedIds(store)
    assert await moved.user("user_1") is None
    assert await moved.memo_id(ADA, "memo_1") is None
    assert await moved.audio_file("memo_1.mp3") is None


async def test_old_ids_lead_to_what_moved_in(store: Store) -> None:
    """The old id of a memo is valid for its owner alone, the old name of its audio for all, as its URL was."""
    moved = MovedIds(store)
    await moved.add_user("user_1", ADA)
    await moved.add_memo(ADA, "memo_1", MEMO, old_file="memo_1.mp3")
    assert await moved.add_audio(ADA, "memo_1.mp3", "new.mp3")
    user = await moved.user("user_1")
    assert user is not None
    assert user["user_id"] == ADA
    assert await moved.memo_id(ADA, "memo_1") == MEMO
    assert await moved.memo_id(BOB, "memo_1") is None
    assert await moved.audio_file("memo_1.mp3") == "new.mp3"


async def test_a_user_who_moves_again_is_mapped_as_before(store: Store) -> None:
    """The mapping stays, also after the user is marked as seen. Another id for the same user is refused."""
    moved = MovedIds(store)
    await moved.add_user("user_1", ADA)
    await moved.mark_seen("user_1", "2026-03-02")
    await moved.add_user("user_1", ADA)
    with pytest.raises(AlreadyExists):
        await moved.add_user("user_1", BOB)
    user = await moved.user("user_1")
    assert user is not None
    assert user["user_id"] == ADA


async def test_an_old_name_of_audio_leads_to_one_file(store: Store) -> None:
    moved = MovedIds(store)
    assert await moved.add_audio(ADA, "memo_1.mp3", "new.mp3")
    assert await moved.add_audio(ADA, "memo_1.mp3", "new.mp3")
    assert not await moved.add_audio(BOB, "memo_1.mp3", "other.mp3")
    assert await moved.audio_file("memo_1.mp3") == "new.mp3"


async def test_an_old_id_leads_to_one_memo(store: Store) -> None:
    moved = MovedIds(store)
    await moved.add_memo(ADA, "memo_1", MEMO)
    with pytest.raises(AlreadyExists):
        await moved.add_memo(ADA, "memo_1", "2" * 32)
    assert await moved.memo_id(ADA, "memo_1") == MEMO


async def test_memo_mapped_again_with_audio_takes_it_along(store: Store) -> None:
    """A memo that moved before its audio could be copied is mapped again: forgetting it frees the old file's name."""
    moved = MovedIds(store)
    await moved.add_memo(ADA, "memo_1", MEMO)
    await moved.add_memo(ADA, "memo_1", MEMO, old_file="memo_1.mp3")
    assert await moved.add_audio(ADA, "memo_1.mp3", "new.mp3")
    (row,) = (await moved.page(ADA, after=None, limit=10)).rows
    await moved.forget(row)
    assert await moved.audio_file("memo_1.mp3") is None
    assert await moved.memo_id(ADA, "memo_1") is None


async def test_memo_mapped_again_without_audio_keeps_what_it_had(store: Store) -> None:
    """A later move that copies no audio leaves the mapping of the file that was copied before."""
    moved = MovedIds(store)
    await moved.add_memo(ADA, "memo_1", MEMO, old_file="memo_1.mp3")
    await moved.add_memo(ADA, "memo_1", MEMO)
    (row,) = (await moved.page(ADA, after=None, limit=10)).rows
    assert row.document["audio"] == digest_of("memo_1.mp3")


async def test_forgetting_an_owners_rows_frees_every_old_name(store: Store) -> None:
    """The old ids of a user, of memos and of audio are then unknown. Another owner's stay."""
    moved = MovedIds(store)
    for owner, user in ((ADA, "ada"), (BOB, "bob")):
        await moved.add_user(user, owner)
        await moved.add_memo(owner, f"quiet-{user}", MEMO)
        await moved.add_memo(owner, f"loud-{user}", MEMO, old_file=f"{user}.mp3")
        assert await moved.add_audio(owner, f"{user}.mp3", "new.mp3")
    for row in (await moved.page(ADA, after=None, limit=10)).rows:
        await moved.forget(row)
    assert (await moved.user("ada"), await moved.audio_file("ada.mp3")) == (None, None)
    assert await moved.memo_id(ADA, "loud-ada") is None
    rest = (await moved.page(ADA, after=None, limit=10)).rows
    assert [row.document["memo_id"] for row in rest] == [MEMO], "what leads to no other row goes with its partition"
    assert (await moved.user("bob"), await moved.audio_file("bob.mp3")) == ({"user_id": BOB}, "new.mp3")
    assert len((await moved.page(BOB, after=None, limit=10)).rows) == 3


class _Racing(Intercepted):
    """Refuses every added row as taken, and has erased it before it can be read."""

    async def add(self, table: Table, key: Key, document: Document) -> None:  # noqa: ARG002 it is not kept
        raise AlreadyExists(key.sort)


async def test_row_that_is_erased_meanwhile_is_no_other_mapping(store: Store) -> None:
    """If an account is erased while it moves in, its rows are deleted, and lead to no other account."""
    moved = MovedIds(_Racing(store))
    await moved.add_user("user_1", ADA)
    await moved.add_memo(ADA, "memo_1", MEMO)
    assert not await moved.add_audio(ADA, "memo_1.mp3", "new.mp3")
