"""GET /api/v1/auth/me/export: all data of an account, in parts that fit an answer of Lambda."""

import json
from typing import Any, Final

import pytest

from shared.accounts.export import PART_BYTES, AccountExports
from shared.stores.port import Key
from shared.tables import MEMOS, Tables, Window
from shared.tables.users import User
from tests.handlers.test_recovery import user_of
from tests.handlers.world import Account, Answer, World

EXPORT: Final = "/api/v1/auth/me/export"


def parts(world: World, account: Account) -> list[Answer]:
    found = [world.get(EXPORT, token=account.session)]
    while "x-next-cursor" in found[-1].headers:
        found.append(world.get(EXPORT, token=account.session, query=[("cursor", found[-1].headers["x-next-cursor"])]))
    return found


def lines_of(answers: list[Answer]) -> list[dict[str, Any]]:
    return [json.loads(line) for answer in answers for line in answer.body.decode().splitlines()]


def test_export_has_everything_without_secrets(world: World, ada: Account, bob: Account) -> None:
    """Account, keys, memos and logs, a line each as the other routes answer them; nothing of another owner."""
    memo = world.memo(ada.key, "line\u2028separator, and \U0001f600")
    world.memo(bob.key)
    answer = world.get(EXPORT, token=ada.session)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert answer.headers["content-disposition"] == 'attachment; filename="agent-talk-account-2026-03-02.ndjson"'
    lines = lines_of([answer])
    assert [line["type"] for line in lines] == ["account", "key", "memo", "log", "log", "log"]
    assert lines[0] == {"type": "account"} | world.get("/api/v1/auth/me", token=ada.session).json["user"]
    (key,) = world.get("/api/keys", token=ada.session).json["keys"]
    assert lines[1] == {"type": "key"} | key
    assert lines[2] == {"type": "memo"} | memo
    logs = world.get("/api/v1/usage", token=ada.session).json["logs"]
    assert sorted(line["id"] for line in lines[3:]) == sorted(log["id"] for log in logs)
    row = user_of(world, ada)
    for secret in (ada.key, row.password_hash, bob.id, bob.email):
        assert secret.encode() not in answer.body


def test_export_goes_on_where_a_part_ended(world: World, ada: Account) -> None:
    """Every part is below 5 MB as Lambda sends it; together they have each row once."""
    text = '"\u00e9' * 20_000
    memo = world.memo(ada.key)
    (kept,) = world.run(Tables.on(world.store).memos.page(ada.id, Window())).rows
    for number in range(60):
        long = kept.document() | {"id": f"{number:032x}", "text": text}
        world.run(world.store.add(MEMOS, Key(ada.id, f"{number:032x}"), long))
    answers = parts(world, ada)
    assert len(answers) > 2
    assert all(len(json.dumps(answer.body.decode())) <= PART_BYTES for answer in answers)
    ids = [line["id"] for line in lines_of(answers) if line["type"] == "memo"]
    assert sorted(ids) == sorted([memo["id"], *(f"{number:032x}" for number in range(60))])
    assert [line["type"] for line in lines_of(answers)].count("account") == 1


@pytest.mark.parametrize("part_bytes", [1, 700, 2000])
def test_export_in_parts_of_any_size_is_the_whole(world: World, ada: Account, part_bytes: int) -> None:
    """However small the parts, each row is in one of them, in the same order."""
    world.new_key(ada, test=True)
    for _ in range(3):
        world.memo(ada.key)
    user = user_of(world, ada)

    async def whole(exports: AccountExports) -> list[str]:
        texts, place = [], None
        while True:
            part = await exports.part(user, place, lambda row: row.id if not isinstance(row, User) else "account")
            texts += part.text.splitlines()
            place = part.place
            if place is None:
                return texts

    def exports(size: int) -> AccountExports:
        return AccountExports(tables=Tables.on(world.store), clock=world.clock, part_bytes=size)

    expected = world.run(whole(exports(PART_BYTES)))
    assert len(expected) == 1 + 2 + 3 + 3 + 3
    assert world.run(whole(exports(part_bytes))) == expected


def test_export_cursor_is_its_owners(world: World, ada: Account, bob: Account) -> None:
    """A forged cursor, or another owner's, is 400; an empty one counts as none."""
    cursor = world.built[0].cursors.seal((ada.id, "account export"), "memos.")
    assert cursor is not None
    assert world.get(EXPORT, token=ada.session, query=[("cursor", cursor)]).status == 200
    assert world.get(EXPORT, token=bob.session, query=[("cursor", cursor)]).error["details"] == {"field": "cursor"}
    assert world.get(EXPORT, token=ada.session, query=[("cursor", "x")]).status == 400
    assert world.get(EXPORT, token=ada.session, query=[("cursor", "")]).status == 200


def test_export_takes_a_session(world: World, ada: Account) -> None:
    assert world.get(EXPORT).error["code"] == "MISSING_API_KEY"
    assert world.get(EXPORT, token=ada.key).error["code"] == "INVALID_API_KEY"
    assert world.get(EXPORT, token=ada.session).status == 200
