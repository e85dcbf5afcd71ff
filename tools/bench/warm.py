"""Handlers that answer one page of 20 memos repeatedly, for Lambda's runtime client: ours, and bare routes.

They ignore the sent event and answer one made here, since its key is valid in this process only.
"""

import json
from typing import Final

from tools.bench.pages import Handler, bare, filled_memos, page_event

_filled = filled_memos(100)
EVENT: Final = page_event(_filled.key)


def _answering(handler: Handler) -> Handler:
    return lambda _, context: handler(EVENT, context)


_routes: Final = bare(_filled, json.loads(_filled.function(EVENT, None)["body"]))

ours: Final = _answering(_filled.function)
plain: Final = _answering(_routes["a dict"])
model: Final = _answering(_routes["a dict, by our answer model"])
annotated: Final = _answering(_routes["a dict annotated as such"])
