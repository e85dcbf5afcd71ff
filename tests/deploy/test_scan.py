"""The comparison of a scan's findings with the waivers."""

import pytest

from deploy.scan import WAIVERS, Finding, ScanFailed, Waiver, compared, waivers

FOUND = Finding(check="CKV_1", where="Table", said="is not encrypted")
WAIVED = Waiver(check="CKV_1", where="Table", why="It is encrypted by other means.")


def test_compared_names_a_finding_without_a_waiver() -> None:
    """A finding fails the scan unless it is waived for its own resource or file."""
    other = Waiver(check="CKV_1", where="Bucket", why="It is encrypted by other means.")
    bucket = Finding(check="CKV_1", where="Bucket", said="is not encrypted")
    assert compared([FOUND, bucket], [other]) == ["CKV_1 Table: is not encrypted"]


def test_compared_names_a_waiver_without_a_finding() -> None:
    """A fixed finding needs no waiver, which would hide the next one."""
    assert compared([], [WAIVED]) == ["CKV_1 Table is waived, and not found"]


def test_compared_is_silent_when_all_is_waived() -> None:
    """The same finding in several templates is one."""
    assert compared([FOUND, FOUND], [WAIVED]) == []


def test_waivers_is_one_for_each_thing_named() -> None:
    """A reason may be shared by several resources, each named."""
    text = "- {check: CKV_1, of: [One, Two], why: Each of both is bounded elsewhere.}"
    assert [(waiver.check, waiver.where) for waiver in waivers(text)] == [("CKV_1", "One"), ("CKV_1", "Two")]


@pytest.mark.parametrize(
    "text",
    [
        "- {check: CKV_1, of: [One]}",
        "- {check: CKV_1, of: [], why: Each of both is bounded elsewhere.}",
        "- {check: CKV_1, of: [One], why: because}",
    ],
)
def test_waivers_refuses_one_without_a_reason_or_a_place(text: str) -> None:
    """A waiver needs a resource or file, and a reason of at least 20 characters."""
    with pytest.raises(ScanFailed, match="a waiver names a check"):
        waivers(text)


def test_waivers_in_the_repository_name_nothing_twice() -> None:
    """Each finding has one reason."""
    places = [(waiver.check, waiver.where) for waiver in waivers(WAIVERS.read_text())]
    assert len(places) == len(set(places))
