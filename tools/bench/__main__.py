"""Measure against floors of the same run, and print the ratios: `make bench`.

Times are medians. Each pair runs in turn, A B A B …, so that a machine whose speed drifts slows both.
"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tools.bench.pages import bare, memos_function, page_event

_CONTEXT: Any = None
"""Mangum passes it on, and no code reads it."""


def main() -> None:
    print("| what | median | floor | ratio |\n|---|---|---|---|")
    small, key = memos_function(100)
    large, large_key = memos_function(100_000)
    page = small(page_event(key), _CONTEXT)
    assert len(json.loads(page["body"])["memos"]) == 20, page
    for what, route in bare(json.loads(page["body"])).items():
        ours, floor = _paired(
            partial(small, page_event(key), _CONTEXT), partial(route, page_event(key), _CONTEXT), runs=400
        )
        _row(f"page of 20 memos, warm, against a bare route that answers it from {what}", ours, floor)
    many, few = _paired(
        partial(large, page_event(large_key), _CONTEXT), partial(small, page_event(key), _CONTEXT), runs=400
    )
    _row("page of 20 out of 100,000 memos, against out of 100", many, few)


def _row(what: str, ours_s: float, floor_s: float) -> None:
    print(f"| {what} | {ours_s * 1000:.2f} ms | {floor_s * 1000:.2f} ms | {ours_s / floor_s:.2f} |", flush=True)


def _paired(one: Callable[[], Any], other: Callable[[], Any], *, runs: int) -> tuple[float, float]:
    """The medians of both, in seconds, run in turn after a warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + max(1, runs // 10)):
        for taken, call in zip(times, (one, other), strict=True):
            began = time.perf_counter()
            call()
            if run >= max(1, runs // 10):
                taken.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main()
