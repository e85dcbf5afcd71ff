"""The usage reports, as an annotated dependency of the usage function's routes."""

from typing import Annotated

from fastapi import Depends

from shared.usage.history import History
from shared.usage.reports import UsageReports
from shared.usage.rollups import Rollups
from shared.web.auth import RequestServices


async def statistics(services: RequestServices) -> UsageReports:
    """Return the reports on the store.

    `async` so that FastAPI calls it in the event loop: it runs plain functions in a thread pool.
    """
    history = History(logs=services.tables.usage_logs, rollups=Rollups(services.store), clock=services.clock)
    return UsageReports(history, services.clock)


Statistics = Annotated[UsageReports, Depends(statistics)]
