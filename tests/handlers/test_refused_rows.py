"""Refused requests leave no rows: otherwise an owner with a spent limit could fill the store free of charge."""

from collections.abc import Callable
from functools import partial

import pytest

from shared.stores.port import Table
from shared.tables.schema import IDEMPOTENCY_KEYS, SPEECH_CALLS
from tests.handlers.world import Account, Answer, World

UNSAYABLE = "\N{GRINNING FACE}"

Ask = Callable[[World, str, int], Answer]


def keyed(world: World, key: str, number: int, *, text: str = "Hello") -> Answer:
    body, headers = {"text": text * (number + 1), "voice": "sam"}, {"idempotency-key": f"k{number}"}
    return world.post("/api/v1/memo", token=key, json=body, headers=headers)


def spoken(world: World, key: str, number: int, *, text: str = "Hello", repeats: int = 0) -> Answer:
    body = {"model": "tts-1", "input": text * (number + 1), "voice": "sam"}
    headers = {"x-stainless-retry-count": str(repeats)}
    return world.post("/v1/audio/speech", token=key, json=body, headers=headers)


def rows(world: World, table: Table, key_id: str) -> int:
    return len(world.run(world.store.page(table, key_id, limit=1000)).rows)


ASKS = pytest.mark.parametrize(
    "ask", [keyed, spoken, partial(spoken, repeats=1)], ids=["keyed memo", "speech", "repeated speech"]
)


@ASKS
def test_refusals_by_the_plan_leave_one_row(world: World, ada: Account, ask: Ask) -> None:
    """After the first refusal the container remembers the spent limit, and refuses later requests before it writes."""
    world.spend(ada, 100)
    answers = [ask(world, ada.key, number) for number in range(10)]
    assert {answer.status for answer in answers} == {429}
    assert answers[0].headers["retry-after"] >= answers[-1].headers["retry-after"]
    assert rows(world, IDEMPOTENCY_KEYS, ada.key_id) <= 1
    assert rows(world, SPEECH_CALLS, ada.key_id) <= 1


@ASKS
def test_refusals_by_a_limit_of_the_key_leave_one_row(world: World, ada: Account, ask: Ask) -> None:
    """This holds also if a text of fewer characters would still have room."""
    key_id, key = world.new_key(ada, limits={"charactersPerDay": 4})
    assert {ask(world, key, number).status for number in range(10)} == {429}
    assert rows(world, IDEMPOTENCY_KEYS, key_id) <= 1
    assert rows(world, SPEECH_CALLS, key_id) <= 1


@ASKS
def test_refused_key_is_served_once_a_place_is_free(world: World, ada: Account, ask: Ask) -> None:
    """A container checks a remembered refusal again: a better plan has room immediately."""
    world.spend(ada, 100)
    assert [ask(world, ada.key, number).status for number in range(2)] == [429, 429]
    world.spend(ada, -1)
    assert ask(world, ada.key, 3).status in (200, 201)
    assert ask(world, ada.key, 4).status == 429


def test_invalid_request_is_told_so_when_the_limit_is_spent(world: World, ada: Account) -> None:
    """A remembered refusal does not hide that a request is invalid, and so 400."""
    world.spend(ada, 100)
    assert [keyed(world, ada.key, number).status for number in range(2)] == [429, 429]
    assert keyed(world, ada.key, 3, text=UNSAYABLE).status == 400


@pytest.mark.parametrize("ask", [keyed, spoken], ids=["keyed memo", "speech"])
def test_unsayable_texts_leave_no_row(world: World, ada: Account, ask: Callable[..., Answer]) -> None:
    """A request that is not valid writes nothing."""
    assert {ask(world, ada.key, number, text=UNSAYABLE).status for number in range(10)} == {400}
    assert rows(world, IDEMPOTENCY_KEYS, ada.key_id) == 0
    assert rows(world, SPEECH_CALLS, ada.key_id) == 0
