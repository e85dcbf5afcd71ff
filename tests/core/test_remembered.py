"""A container's memory: the newest entries, up to its capacity."""

from shared.core.remembered import Remembered


def test_remembered_forgets_what_was_written_longest_ago() -> None:
    """A second writing counts as the latest, a reading does not."""
    remembered = Remembered[str, int](2)
    remembered["a"] = 1
    remembered["b"] = 2
    remembered["a"] = 3
    assert remembered.get("b") == 2
    remembered["c"] = 4
    assert dict(remembered) == {"a": 3, "c": 4}
