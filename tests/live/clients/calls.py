"""Make calls of the published Python SDK, which PYTHONPATH names. Reads and prints JSON."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from agent_talk import AgentTalk  # type: ignore[import-not-found] # from a checkout of another repository

CALLS: Final[dict[str, Callable[..., Any]]] = {
    "health": lambda client: asdict(client.health()),
    "voices": lambda client: [voice.id for voice in client.voices.list()],
    "voice": lambda client, name: (voice := client.voices.get(name)) and asdict(voice),
    "create": lambda client, text, voice: asdict(client.memo.create(text, voice)),
    "demo": lambda client, text, voice: asdict(client.memo.demo(text, voice)),
}


def outcome(url: str, key: str | None, call: str, values: list[Any]) -> dict[str, Any]:
    try:
        return {"value": CALLS[call](AgentTalk(api_key=key, base_url=url), *values)}
    except Exception as exc:  # noqa: BLE001 the exception is the result
        details = getattr(exc, "details", None)
        return {
            "raised": type(exc).__name__,
            "code": getattr(exc, "code", None),
            "status": getattr(exc, "status_code", None),
            "details": {name: value for name, value in asdict(details).items() if value is not None} if details else {},
        }


print(json.dumps([outcome(**call) for call in json.load(sys.stdin)]))
