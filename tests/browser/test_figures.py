"""The console's pure modules, each imported by Chromium unchanged: ranges, series, CSV, and messages of failures."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Route

import handlers.pages
from tests.browser.sites import needs_chromium

pytestmark = needs_chromium

MODULES: Final = Path(handlers.pages.__file__).parent / "console"
TODAY: Final = "2026-11-28"


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """Yield an empty page whose host serves the modules alone."""

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix("http://modules.test/")
        route.fulfill(
            body=(MODULES / name).read_text(encoding="utf-8") if name else "",
            content_type="text/javascript" if name else "text/html",
        )

    page = browser.new_page()
    page.route("http://modules.test/**", answer)
    page.goto("http://modules.test/")
    yield page
    page.context.close()


def call(modules: Page, module: str, expression: str, *given: Any) -> Any:
    """Evaluate an expression in which `m` is the module and `given` are values. Returns its value."""
    script = "async ([module, given]) => { const m = await import('/' + module); return (%s) }"
    return modules.evaluate(script % expression, [module, given])


@pytest.mark.parametrize(
    ("name", "by", "shown"),
    [
        ("", "", ("30", "2026-10-30", TODAY, 30, "day")),
        ("7", "", ("7", "2026-11-22", TODAY, 7, "day")),
        ("7", "hour", ("7", "2026-11-22", TODAY, 7, "hour")),
        ("30", "hour", ("30", "2026-10-30", TODAY, 30, "day")),
        ("12m", "", ("12m", "2025-12-01", TODAY, 363, "week")),
        ("2026-01-01..2026-01-02", "hour", ("2026-01-01..2026-01-02", "2026-01-01", "2026-01-02", 2, "hour")),
        ("2025-11-28..2026-11-28", "", ("2025-11-28..2026-11-28", "2025-11-28", TODAY, 366, "week")),
        ("nonsense", "", ("30", "2026-10-30", TODAY, 30, "day")),
    ],
)
def test_range_is_read_from_its_name(modules: Page, name: str, by: str, shown: tuple[object, ...]) -> None:
    range_ = call(modules, "range.js", "m.rangeOf(...given)", name, by, TODAY)
    assert tuple(range_[field] for field in ("name", "from", "to", "days", "by")) == shown
    assert call(modules, "range.js", "m.daysIn(...given)", *range_["before"].values()) == range_["days"]


@pytest.mark.parametrize(
    ("dates", "problem"),
    [
        ("2026-02-30..2026-03-01", "invalid"),
        ("2026-03-02..2026-03-01", "order"),
        ("2026-11-01..2026-11-29", "future"),
        ("2025-11-27..2026-11-28", "long"),
    ],
)
def test_range_that_cannot_be_shown_says_why(modules: Page, dates: str, problem: str) -> None:
    shown = call(modules, "range.js", "m.rangeOf(...given)", dates, "", TODAY)
    assert (shown["name"], shown["problem"]) == ("30", problem)


@pytest.mark.parametrize("name", ["7", "30", "90", "12m", "2025-11-28..2026-11-28", "2026-06-01..2026-11-30"])
@pytest.mark.parametrize("by", ["", "hour"])
def test_requests_cover_both_periods_within_bounds(modules: Page, name: str, by: str) -> None:
    """Every day of the range and of the period before is requested once, in at most 366 days or 168 hours a request."""
    given = (name, by, "2026-11-30")
    range_, requests = call(modules, "range.js", "(r => [r, m.requestsOf(r)])(m.rangeOf(...given))", *given)
    spans = [call(modules, "range.js", "m.daysIn(...given)", one["startTime"], one["endTime"]) for one in requests]
    assert sum(spans) == 2 * range_["days"]
    assert requests[0]["startTime"] == range_["before"]["from"]
    assert all(span <= (7 if one["bucket"] == "1h" else 366) for span, one in zip(spans, requests, strict=True))


def test_days_add_up_to_weeks_from_monday(modules: Page) -> None:
    """The first week may have fewer days; groups stay apart, and one that is missing in a day counts nothing."""
    days = [(f"2026-11-{number:02d}", {"a": 1} | ({"b": 2} if number == 23 else {})) for number in range(21, 25)]
    buckets = [
        {
            "startTime": f"{day}T00:00:00.000Z",
            "endTime": f"{day}T24:00:00.000Z",
            "results": [{"apiKeyId": key, **counts(calls)} for key, calls in groups.items()],
        }
        for day, groups in days
    ]
    weeks = call(
        modules,
        "series.js",
        "m.weeksOf(m.slotsOf(given))"
        ".map(week => [week.start.slice(0, 10), m.countsIn(week).calls, m.countsIn(week, 'b').calls])",
        {"buckets": buckets},
    )
    assert weeks == [["2026-11-21", 2, 0], ["2026-11-23", 4, 2]]


def counts(calls: int) -> dict[str, int]:
    return {"calls": calls, "characters": 0, "audioSeconds": 0, "errors": 0}


@pytest.mark.parametrize(
    ("now", "before", "change"),
    [
        (0, 0, {"kind": "none", "share": None}),
        (3, 0, {"kind": "new", "share": None}),
        (3, 3, {"kind": "same", "share": 0}),
        (3, 2, {"kind": "more", "share": 0.5}),
        (0, 2, {"kind": "less", "share": 1}),
    ],
)
def test_change_is_against_the_period_before(modules: Page, now: int, before: int, change: dict[str, object]) -> None:
    assert call(modules, "series.js", "m.changeOf(...given)", now, before) == change


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (
            {"kind": "limit", "message": "Daily limit of 100 memos reached", "details": {"resetAt": "2999-01-01"}},
            r"Daily limit of 100 memos reached\. You can go on in .*, on Jan 1, 2999 at midnight UTC.*\.",
        ),
        (
            {"kind": "limit", "message": "This API key's limit of 9 characters a day is reached", "retryAfter": 5}
            | {"details": {"resetAt": "2999-01-01"}},
            r"This API key's limit of 9 characters a day is reached\. You can go on in .* at midnight UTC.*\.",
        ),
        ({"kind": "limit", "retryAfter": 90}, "Too many attempts\\. Try again in 2\u00a0minutes\\."),
        ({"kind": "unavailable", "message": "The data store is unreachable"}, "The service is having trouble .*"),
        ({"kind": "refused", "message": "Not now"}, r"Not now\."),
    ],
)
def test_failure_is_said_as_what_it_is(modules: Page, failure: dict[str, object], sentence: str) -> None:
    """A limit's message has its reset, an outage's is the page's own, and any other one is the API's."""
    assert re.fullmatch(sentence, call(modules, "texts.js", "m.sentenceOf(...given)", failure))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1, "in 1\u00a0second"),
        (3601, "in 2\u00a0hours"),
        (86_400, "in 1\u00a0day"),
        (31 * 86_400 - 60, "in 31\u00a0days"),
    ],
)
def test_wait_is_never_said_in_months(modules: Page, seconds: int, said: str) -> None:
    """A wait is rounded up. On the first day of a month of 31 days, the next one is not two months away."""
    assert call(modules, "formats.js", "m.wait(...given)", seconds) == said


def test_csv_makes_formulas_harmless(modules: Page) -> None:
    """Quotes and line ends are kept; numbers are never touched."""
    rows = [["=1+1", "+1", "-1", "@a", "\ta", 'say "hi", twice', "two\nlines", -1.5, "plain"]]
    line = '\'=1+1,\'+1,\'-1,\'@a,\'\ta,"say ""hi"", twice","two\nlines",-1.5,plain\r\n'
    assert call(modules, "csv.js", "m.csvOf(given)", *rows) == line
