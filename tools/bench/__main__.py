"""Measure warm requests against floors of the same run, and print the ratios: `make bench`.

Times are medians of this process's CPU, so that other programs on the machine count less. Each floor takes turns with
what it is compared with, A B A B …, so that a machine whose speed drifts slows both.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tools.bench.pages import bare, memo_event, memos_function, page_event

_CONTEXT: Any = None
"""Mangum passes it on, and no code reads it."""

RUNS = 400


def main() -> None:
    print("| what | CPU | floor | ratio |\n|---|---|---|---|")
    small, key = memos_function(100)
    large, large_key = memos_function(100_000)
    page = small(page_event(key), _CONTEXT)
    assert len(json.loads(page["body"])["memos"]) == 20, page
    ours = partial(small, page_event(key), _CONTEXT)
    for what, route in bare(json.loads(page["body"])).items():
        answered = route(page_event(key), _CONTEXT)
        assert json.loads(answered["body"]) == json.loads(page["body"]), what
        _row(f"page of 20 memos, against {what}", *_paired(ours, partial(route, page_event(key), _CONTEXT)))
    many = partial(large, page_event(large_key), _CONTEXT)
    _row("page of 20 out of 100,000 memos, against out of 100", *_paired(many, ours))
    memo = partial(small, memo_event(key), _CONTEXT)
    assert memo()["statusCode"] == 201, memo()
    _row("a memo, against a page of 20", *_paired(memo, ours))


def _row(what: str, ours_s: float, floor_s: float) -> None:
    print(f"| {what} | {ours_s * 1000:.2f} ms | {floor_s * 1000:.2f} ms | {ours_s / floor_s:.2f} |", flush=True)


def _paired(one: Callable[[], Any], other: Callable[[], Any], *, runs: int = RUNS) -> tuple[float, float]:
    """The medians of both, in seconds of CPU, run in turn after a warm-up."""
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
