"""Scopes and limits in the bodies about keys."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from handlers.models.keys import GivenLimits, ScopeNames
from shared.tables.issued_keys import KeyLimit, Scope

SCOPES: TypeAdapter[list[str]] = TypeAdapter(ScopeNames)
ALL = [scope.value for scope in Scope]


@pytest.mark.parametrize(
    ("given", "scopes"), [(ALL, ALL), (ALL[::-1], ALL), (ALL[-1:], ALL[-1:]), ([*ALL[:2], ALL[0]], ALL[:2])]
)
def test_scopes_are_each_once_in_their_order(given: list[str], scopes: list[str]) -> None:
    """Scopes are stored once each and in a fixed order, for any order and repetition in the body."""
    assert SCOPES.validate_python(given) == scopes


@pytest.mark.parametrize("given", [[], ["memo"], [*ALL, "memo"], ["MEMO:READ"]])
def test_scopes_are_refused_if_one_is_unknown(given: list[str]) -> None:
    """An empty list is refused too: a key without permissions is a mistake."""
    with pytest.raises(ValidationError, match="must be some of memo:write, memo:read, usage:read"):
        SCOPES.validate_python(given)


@pytest.mark.parametrize(
    ("body", "given", "numbers"),
    [
        ({}, {}, {}),
        ({"memosPerDay": 1}, {KeyLimit.MEMOS_PER_DAY: 1}, {KeyLimit.MEMOS_PER_DAY: 1}),
        ({"memosPerDay": None}, {KeyLimit.MEMOS_PER_DAY: None}, {}),
        (
            {"memosPerDay": 1, "charactersPerDay": None, "charactersPerMonth": 3},
            {KeyLimit.MEMOS_PER_DAY: 1, KeyLimit.CHARACTERS_PER_DAY: None, KeyLimit.CHARACTERS_PER_MONTH: 3},
            {KeyLimit.MEMOS_PER_DAY: 1, KeyLimit.CHARACTERS_PER_MONTH: 3},
        ),
    ],
)
def test_limits_are_those_of_the_body(body: Any, given: Any, numbers: Any) -> None:
    """`given` has the limits that the body names, null included, and `numbers` those that are numbers."""
    limits = GivenLimits.model_validate(body)
    assert (dict(limits.given()), dict(limits.numbers())) == (given, numbers)


@pytest.mark.parametrize(
    "body", [{"memosPerMonth": 1}, {"memos_per_day": 1}, {"memosPerDay": 0}, {"memosPerDay": 1.5}, {"memosPerDay": "1"}]
)
def test_limits_are_refused_if_one_is_unknown_or_no_number(body: Any) -> None:
    """A misspelt limit would leave the key without one."""
    with pytest.raises(ValidationError):
        GivenLimits.model_validate(body)


@pytest.mark.parametrize("body", [None, "memosPerDay", ["memosPerDay"], 5])
def test_limits_that_are_no_object_are_refused(body: Any) -> None:
    """The error names the expected type."""
    with pytest.raises(ValidationError, match="should be a valid dictionary"):
        GivenLimits.model_validate(body)
