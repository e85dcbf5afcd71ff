"""Run the checks of S3 that moto cannot run on ministack, which checks signatures: `python -m tests.engines.s3`.

The last suite plays a memo in Chromium, if it is installed.
"""

import asyncio
import os
import sys

from tests.engines.had import ENGINES, NotHad
from tests.live.processes import ROOT

SUITES = ("tests/audio/test_s3.py", "tests/engines/s3_links.py", "tests/browser/s3_audio.py")


async def _show() -> int:
    engine = next(engine for engine in ENGINES if engine.name == "ministack")
    with engine.process() as process:
        await process.start()
        suites = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-m", "", *SUITES), cwd=ROOT, env={**os.environ, "S3_URL": process.url}
        )
        return await suites.wait()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(_show()))
    except NotHad as exc:
        sys.exit(f"ministack cannot be had: {exc}")
