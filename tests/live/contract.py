"""The contract suite of stores, live."""

import asyncio
import os
import sys
from pathlib import Path

from tests.live.processes import MICRO_KEY, ROOT, micro_server


async def run(checkout: Path) -> None:
    with micro_server(checkout) as server:
        await server.start()
        suite = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-m", "", "-n", "0", "tests/stores/micro/test_store.py"),
            cwd=ROOT,
            env={**os.environ, "MICRO_URL": server.url, "MICRO_KEY": MICRO_KEY},
        )
        assert await suite.wait() == 0, "the suite failed"
