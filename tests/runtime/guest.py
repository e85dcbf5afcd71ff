"""Call the handlers of an unpacked archive: `python -I -S guest.py FOLDER MODULE…`, run by the emulated Python.

The first line written is `{"machine": "aarch64", "python": "3.13"}`, once every MODULE is imported. After it, each line
read is `{"module": "handlers.memos", "event": {…}, "context": {…}}`, and the line written for it is the handler's
result. Output of the handlers themselves goes to standard error. This module needs the standard library alone.
"""

import json
import os
import platform
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Final

REMAINING_MS: Final = 60_000
"""The remaining milliseconds that the context reports. Lambda's 15 s are too few for an emulator on a busy machine."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # otherwise a log line would be read as an answer
    folder, *modules = sys.argv[1:]
    sys.path.insert(0, folder)
    handlers = {module: import_module(module).handler for module in modules}
    found = {"machine": platform.machine(), "python": ".".join(platform.python_version_tuple()[:2])}
    print(json.dumps(found), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        context = SimpleNamespace(**asked["context"], get_remaining_time_in_millis=lambda: REMAINING_MS)
        print(json.dumps(handlers[asked["module"]](asked["event"], context)), file=answers)


if __name__ == "__main__":
    main()
