"""The checker of recorded histories accepts right ones, and finds the faults that it is written for."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations
from typing import Any, Final

import pytest

from tests.proofs import models
from tests.proofs.linearizability import UNANSWERED, Call, Model, is_linearizable
from tests.proofs.models import ACTIVE, Places, memos_at, shown, with_moments
from tests.support import seeded

ADA: Final = "ada"


def one_after_another(*calls: tuple[str, Any, Any]) -> list[Call]:
    """Return calls of (what, given, answer), each of which ends before the next begins."""
    return [
        Call(what=what, given=given, answer=answer, began=2.0 * number, ended=2.0 * number + 1)
        for number, (what, given, answer) in enumerate(calls)
    ]


def at_once(*calls: tuple[str, Any, Any], began: float = 0.0) -> list[Call]:
    return [Call(what=what, given=given, answer=answer, began=began, ended=began + 1) for what, given, answer in calls]


def memos(calls: Iterable[Call], *, limit: int) -> bool:
    return is_linearizable(with_moments(list(calls)), memos_at(limit), Places())


def busy_owner(seed: int, *, clients: int = 8, limit: int = 20) -> list[Call]:
    """Return a right history of overlapping calls, each of which takes effect at a random moment."""
    random, state, model = seeded(seed), Places(), memos_at(limit)
    spans, free_at = list[tuple[float, float, float]](), [random.random() for _ in range(clients)]
    for number in range(48):
        began = free_at[number % clients]
        ended = began + random.uniform(0.1, 2.0)
        free_at[number % clients] = ended + 0.01
        spans.append((random.uniform(began, ended), began, ended))
    calls = list[Call]()
    for number, (_, began, ended) in enumerate(sorted(spans)):
        if number % 4 == 3:
            call = Call(what="list", answer=state.memos, began=began, ended=ended)
        elif number % 8 == 6:
            call = Call(what="used", answer=state.used, began=began, ended=ended)
        else:
            answer = 201 if state.used < limit else 429
            call = Call(what="memo", given=f"memo {number}", answer=answer, began=began, ended=ended)
        (state,) = model(state, call)
        if call.answer == 201:
            (state,) = model(state, replace(call, what="written"))
        calls.append(call)
    return calls


@pytest.mark.parametrize("seed", range(5))
def test_right_history_of_eight_clients_is_accepted(seed: int) -> None:
    """A history that has an order is accepted, whatever order its calls are recorded in."""
    calls = busy_owner(seed)
    seeded(seed).shuffle(calls)
    assert memos(calls, limit=20)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.thorough
def test_one_memo_too_many_is_found(seed: int) -> None:
    """One refusal of a long history that was answered 201 instead is found."""
    calls = busy_owner(seed)
    refused = next(number for number, call in enumerate(calls) if call.answer == 429)
    calls[refused] = replace(calls[refused], answer=201)
    assert not memos(calls, limit=20)


def test_refusal_below_the_limit_is_found() -> None:
    """A refusal while a place was free is found."""
    assert not memos(one_after_another(("memo", "a", 201), ("memo", "b", 429)), limit=2)


def test_memo_takes_its_place_before_lists_show_it() -> None:
    """A limit that counts a memo being made may be read before a list without it; not after its answer."""
    used = ("used", None, 1)
    without: tuple[str, Any, Any] = ("list", None, frozenset())
    made = Call(what="memo", given="a", answer=201, began=-1, ended=9)
    assert memos([made, *one_after_another(used, without)], limit=2)
    assert not memos([replace(made, ended=1.5), *one_after_another(used, without)], limit=2)


def test_memo_that_vanishes_is_found() -> None:
    """A memo that was answered 201 is in each list that begins later."""
    assert not memos(one_after_another(("memo", "a", 201), ("list", None, frozenset())), limit=2)


def test_memos_at_once_may_be_refused_in_any_order() -> None:
    """Any one of several concurrent calls may be the refused one."""
    for answers in permutations([201, 201, 429]):
        calls = at_once(*(("memo", str(number), answer) for number, answer in enumerate(answers)))
        assert memos(calls, limit=2)


def test_failed_memo_may_keep_its_place_or_give_it_back() -> None:
    """A memo without an answer may exist, and may have cost a place, each for a time or permanently."""
    failed, good = ("memo", "a", UNANSWERED), ("memo", "b", 201)
    for listed, used in ((["b"], 1), (["a", "b"], 2), (["b"], 2), (["a", "b"], 1)):
        calls = one_after_another(failed, good, ("list", None, frozenset(listed)), ("used", None, used))
        assert memos(calls, limit=2), (listed, used)
    seen_once = one_after_another(failed, ("list", None, frozenset("a")), ("list", None, frozenset()))
    assert memos(seen_once, limit=2)
    assert not memos(one_after_another(failed, good, ("used", None, 3)), limit=5), "it cost two places"


def test_failed_memo_may_give_its_place_back_before_it_goes() -> None:
    """Another memo may have its place while a list still shows it, and later lists do not."""
    failed, good, used = ("memo", "a", UNANSWERED), ("memo", "b", 201), ("used", None, 1)
    both, one = ("list", None, frozenset("ab")), ("list", None, frozenset("b"))
    assert memos(one_after_another(failed, good, both, used, one), limit=1)
    assert not memos(one_after_another(failed, good, both, used, one, both), limit=1)


def test_many_memos_without_an_answer_are_searched_quickly() -> None:
    """Twenty concurrent failed calls are equal: the search does not double with each; a fault among them is found."""
    failed = at_once(*(("memo", f"lost {number}", UNANSWERED) for number in range(20)))
    later = [
        replace(call, began=call.began + 9, ended=call.ended + 9) for call in one_after_another(("memo", "a", 201))
    ]
    assert memos([*failed, *later], limit=10)
    gone = [Call(what="list", answer=frozenset(), began=20, ended=21)]
    assert not memos([*failed, *later, *gone], limit=10)


def test_use_after_an_answered_revocation_is_found() -> None:
    """A revoked key's use that began after the revocation's answer must be refused."""
    revoked, used = ("revoke", None, 200), ("use", None, 201)
    assert not is_linearizable(one_after_another(revoked, used), models.key, ACTIVE)
    assert is_linearizable(at_once(revoked, used), models.key, ACTIVE)


def test_key_that_comes_back_is_found() -> None:
    """After one refusal a key is neither used nor listed as active, even if the revocation was never answered."""
    revoked, refused = ("revoke", None, UNANSWERED), ("use", None, 403)
    for call in (("use", None, 201), ("listed", None, True), ("verified", None, True)):
        assert not is_linearizable(one_after_another(revoked, refused, call), models.key, ACTIVE)
        assert is_linearizable(one_after_another(revoked, call, refused), models.key, ACTIVE)


def test_address_with_two_owners_is_found() -> None:
    """One sign-up for an address succeeds, and all logins are its owner's."""
    both = at_once(("sign-up", None, ADA), ("sign-up", None, "bob"))
    assert not is_linearizable(both, models.address, None)
    lost = one_after_another(("sign-up", None, UNANSWERED), ("log-in", None, ADA))
    assert is_linearizable(lost, models.address, None)
    assert not is_linearizable([*lost, Call(what="log-in", answer="bob", began=9, ended=9)], models.address, None)


def test_conflict_over_a_free_address_is_found() -> None:
    """409 means that the address has an owner, who can log in from then on."""
    assert not is_linearizable(one_after_another(("sign-up", None, 409)), models.address, None)
    calls = one_after_another(("sign-up", None, UNANSWERED), ("sign-up", None, 409), ("log-in", None, 401))
    assert not is_linearizable(calls, models.address, None)


def test_title_that_is_lost_is_found() -> None:
    """A reader gets the title that was written last; after two concurrent writes all later readers get the same."""
    one, two = ("write", "one", 200), ("write", "two", 200)
    read_one, read_two = ("read", None, shown("one")), ("read", None, shown("two"))
    assert not is_linearizable(one_after_another(one, two, read_one), models.title, None)
    both = at_once(one, two)
    for reads, right in (((read_one, read_one), True), ((read_one, read_two), False)):
        later = [replace(call, began=call.began + 5, ended=call.ended + 5) for call in one_after_another(*reads)]
        assert is_linearizable([*both, *later], models.title, None) is right


@pytest.mark.parametrize("model", [models.key, models.address, models.title])
def test_model_refuses_what_it_does_not_know(model: Model[Any]) -> None:
    """A call with a name that a model does not have fits no history: a misspelt one is not overlooked."""
    assert not is_linearizable(one_after_another(("shout", None, 200)), model, None)
