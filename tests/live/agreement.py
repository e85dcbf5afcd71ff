"""Reconcile what kills leave incomplete, and check that lists, logs and figures agree afterwards."""

from datetime import datetime, timedelta
from typing import Final

from shared.core.clock import DAY, utc_now
from shared.stores.port import Store
from shared.tables import Tables
from shared.usage.reconcile import MemoReconciliation
from tests.live.ledger import Ledger
from tests.live.people import Front, Person, memos_of

LATER: Final = timedelta(minutes=11)
"""More than the ten minutes in which a memo and its log may still be written."""


async def reconcile(store: Store) -> tuple[int, int]:
    """Correct the logs of yesterday and today, as `reconcile-memos` does in eleven minutes, and check that they agree.

    Returns the numbers of missing and of superfluous logs.
    """
    differing = await _differing(store)
    assert await _differing(store) == (0, 0), "what was corrected differs still"
    return differing


async def _differing(store: Store) -> tuple[int, int]:
    tables, now = Tables.on(store), utc_now()
    reconciliation = MemoReconciliation(
        active_owners=tables.active_owners,
        memos=tables.memos,
        logs=tables.usage_logs,
        keys=tables.api_keys,
        clock=_later,
        repair=True,
    )
    without_log = without_memo = 0
    for day in (now.date() - DAY, now.date()):
        async for mismatch in reconciliation.of_day(day):
            without_log += len(mismatch.without_log)
            without_memo += len(mismatch.without_memo)
    return without_log, without_memo


async def check_agreement(front: Front, ledger: Ledger) -> None:
    """Check that the logs are those of the listed and the deleted memos, and that the figures are the logs'."""
    person = ledger.person
    logged = await _logged(front, person)
    listed = (await memos_of(front, person)).keys()
    assert listed <= logged, f"listed, and not logged: {listed - logged}"
    assert logged - listed <= ledger.deleted, f"logged, and nobody deleted them: {logged - listed - ledger.deleted}"
    summary = await front.send("GET", "/api/v1/analytics/summary", token=person.session)
    assert summary.body["data"]["totalCalls"] == len(logged), (summary.body, len(logged))


async def _logged(front: Front, person: Person) -> set[str]:
    found, cursor = set[str](), ""
    while True:
        path = "/api/v1/usage?action=memo_created&limit=100" + (f"&cursor={cursor}" if cursor else "")
        page = await front.send("GET", path, token=person.session)
        assert page.status == 200, page
        found |= {log["metadata"]["memoId"] for log in page.body["logs"]}
        if not page.body["hasMore"]:
            return found
        cursor = page.body["nextCursor"]


def _later() -> datetime:
    return utc_now() + LATER
