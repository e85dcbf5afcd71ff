"""An owner's figures, as an annotated dependency of the usage function's routes."""

from typing import Annotated

from fastapi import Depends

from shared.analytics import Analytics
from shared.auth import Ready
from shared.history import History
from shared.tables.rollups import Rollups


async def statistics(services: Ready) -> Analytics:
    """A coroutine only so that FastAPI calls it here, and not in a thread."""
    history = History(logs=services.usage_logs, rollups=Rollups(services.store), clock=services.clock)
    return Analytics(history, services.clock)


Statistics = Annotated[Analytics, Depends(statistics)]
