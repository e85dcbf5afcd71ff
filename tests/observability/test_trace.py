"""W3C Trace Context: valid headers, and the headers that are propagated."""

import pytest

from shared.observability import trace

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
GOOD = f"00-{TRACE_ID}-{PARENT_ID}-01"


def raw(*fields: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in fields]


def test_trace_continues_with_a_new_span_when_parent_is_valid() -> None:
    """A valid parent is propagated with its trace and flag, and another span each time."""
    found = trace.parse(raw(("Traceparent", GOOD)))
    assert found is not None
    sent = [found.headers()["traceparent"].split("-") for _ in range(3)]
    assert {(version, trace_id, flags) for version, trace_id, _, flags in sent} == {("00", TRACE_ID, "01")}
    spans = {span for _, _, span, _ in sent}
    assert len(spans - {PARENT_ID}) == 3
    assert all(len(span) == 16 for span in spans)


@pytest.mark.parametrize(("given", "sent"), [("00", "00"), ("01", "01"), ("03", "01"), ("ff", "01"), ("fe", "00")])
def test_no_flag_goes_on_but_sampled(given: str, sent: str) -> None:
    found = trace.parse(raw(("traceparent", GOOD[:-2] + given)))
    assert found is not None
    assert found.headers()["traceparent"][-2:] == sent


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        GOOD[:-1],
        f"{GOOD}-more",
        f"{GOOD},{GOOD}",
        GOOD.upper(),
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"01-{TRACE_ID}-{PARENT_ID}-01more",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}g-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-0x",
        f"00_{TRACE_ID}_{PARENT_ID}_01",
    ],
)
def test_an_invalid_parent_is_no_trace(given: str) -> None:
    assert trace.parse(raw(("traceparent", given), ("tracestate", "a=1"))) is None


def test_two_parents_are_none() -> None:
    assert trace.parse(raw(("traceparent", GOOD), ("traceparent", GOOD))) is None


@pytest.mark.parametrize("given", [f"01-{TRACE_ID}-{PARENT_ID}-01", f"cc-{TRACE_ID}-{PARENT_ID}-01-what comes later"])
def test_a_later_version_goes_on_as_the_one_we_know(given: str) -> None:
    found = trace.parse(raw(("traceparent", given)))
    assert found is not None
    assert found.headers()["traceparent"].startswith(f"00-{TRACE_ID}-")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (["congo=t61rcWkgMzE,rojo=00f0"], "congo=t61rcWkgMzE,rojo=00f0"),
        (["a=1", "b=2"], "a=1,b=2"),
        ([], None),
        ([""], None),
        (["a=\xe9"], None),
        (["a=" + "x" * 5000], None),
    ],
)
def test_the_state_goes_on_unchanged_or_not_at_all(given: list[str], sent: str | None) -> None:
    found = trace.parse(raw(("traceparent", GOOD), *(("tracestate", state) for state in given)))
    assert found is not None
    assert found.headers().get("tracestate") == sent


def test_outside_of_a_trace_nothing_is_sent() -> None:
    assert trace.headers() == {}
    with trace.continued(raw(("traceparent", GOOD))):
        assert trace.headers().keys() == {"traceparent"}
        with trace.continued([]):
            assert trace.headers() == {}
    assert trace.current() is None
