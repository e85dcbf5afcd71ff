"""An owner's figures, as an annotated dependency of the usage function's routes."""

from typing import Annotated

from fastapi import Depends

from shared.usage.history import History
from shared.usage.reports import Analytics
from shared.usage.rollups import Rollups
from shared.web.auth import RequestServices


async def statistics(services: RequestServices) -> Analytics:
    """A coroutine only so that FastAPI calls it here, and not in a thread."""
    history = History(logs=services.tables.usage_logs, rollups=Rollups(services.store), clock=services.clock)
    return Analytics(history, services.clock)


Statistics = Annotated[Analytics, Depends(statistics)]
