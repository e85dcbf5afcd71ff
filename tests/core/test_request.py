"""The deadline of the request being served."""

from contextlib import suppress

import pytest

from shared.core.request import REQUEST_S, UNDO_S, ends_at, time_left_s, time_to_undo
from tests.support import request_that_has


def test_time_left_is_a_whole_requests_outside_of_one() -> None:
    """Outside of a request, time_to_undo sets no deadline."""
    with time_to_undo():
        assert time_left_s() == REQUEST_S
    assert ends_at.get() is None


def test_time_left_is_up_to_the_deadline() -> None:
    """After the deadline it is below 0."""
    with request_that_has(100):
        assert 90 < time_left_s() <= 100
    with request_that_has(-100):
        assert -110 < time_left_s() <= -100


@pytest.mark.parametrize("seconds", [-100, 0])
def test_undoing_has_its_least_time_and_ends(seconds: float) -> None:
    """Undoing has up to UNDO_S after the deadline. Then, even after an error, the request's deadline applies."""
    with request_that_has(seconds) as ends:
        with suppress(LookupError), time_to_undo():
            assert 0 < time_left_s() <= UNDO_S
            raise LookupError
        assert ends_at.get() == ends


def test_undoing_keeps_what_the_request_has_left() -> None:
    """If the request has more time left than the least time, undoing has all of it."""
    with request_that_has(100) as ends, time_to_undo():
        assert ends_at.get() == ends
