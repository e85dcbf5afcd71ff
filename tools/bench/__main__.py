"""Measure warm requests against floors of the same run, and print the ratios: `make bench`.

Times are medians of this process's CPU, so that other programs on the machine count less. Each floor alternates with
the measured code, A B A B …, so that a machine whose speed drifts slows both.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tools.bench.pages import bare, filled_memos, memo_event, page_event

_CONTEXT: Any = None
"""The context of an event: Mangum passes it on, and no code reads it."""

RUNS = 400


def main() -> None:
    print("| what | CPU | floor | ratio |\n|---|---|---|---|")
    small, large = filled_memos(100), filled_memos(100_000)
    event = page_event(small.key)
    page = small.function(event, _CONTEXT)
    assert len(json.loads(page["body"])["memos"]) == 20, page
    ours = partial(small.function, event, _CONTEXT)
    for what, route in bare(small, json.loads(page["body"])).items():
        answered = route(event, _CONTEXT)
        assert json.loads(answered["body"]) == json.loads(page["body"]), what
        _row(f"page of 20 memos, against {what}", *_paired(ours, partial(route, event, _CONTEXT)))
    many = partial(large.function, page_event(large.key), _CONTEXT)
    _row("page of 20 out of 100,000 memos, against out of 100", *_paired(many, ours))
    memo = partial(small.function, memo_event(small.key), _CONTEXT)
    assert memo()["statusCode"] == 201, memo()
    _row("a memo, against a page of 20", *_paired(memo, ours))


def _row(what: str, ours_s: float, floor_s: float) -> None:
    print(f"| {what} | {ours_s * 1000:.2f} ms | {floor_s * 1000:.2f} ms | {ours_s / floor_s:.2f} |", flush=True)


def _paired(one: Callable[[], Any], other: Callable[[], Any], *, runs: int = RUNS) -> tuple[float, float]:
    """Return the medians of both, in seconds of CPU, run alternately after a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + max(1, runs // 10)):
        for taken, call in zip(times, (one, other), strict=True):
            began = time.process_time()
            call()
            if run >= max(1, runs // 10):
                taken.append(time.process_time() - began)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main()
