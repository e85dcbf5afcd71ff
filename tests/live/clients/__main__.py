"""Call `make run` by the predecessor's published SDKs, errors included: `python -m tests.live.clients`.

SDK_CHECKOUT names the folder `sdk` of a checkout of hyperio-mc/agent-talk, in which `npm ci && npm run build` ran.
With MICRO_CHECKOUT, a checkout of HYPR Micro, the same is shown on it too.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from shared.plans import PLANS, Tier
from shared.speech.voices import VOICES
from tests.live.limits import spend
from tests.live.people import Front, Person, sign_up, somebody
from tests.live.processes import gateway_in, micro_environ, micro_server
from tools.maintain.opened import maintenance_settings, opened_store

HERE: Final = Path(__file__).parent
PER_DAY: Final = PLANS[Tier.HOBBY].limits.calls_per_day or 0
PER_MONTH: Final = PLANS[Tier.HOBBY].limits.calls_per_month or 0
PER_MEMO: Final = PLANS[Tier.HOBBY].limits.chars_per_memo or 0
DEMOS: Final = 60

UNKNOWN_TO_PYTHON: Final = frozenset({"providedType", "requestedVoice", "limit", "memoId", "resetAt"})
"""Details at which the Python SDK raises TypeError: it accepts none in camelCase, and no `provided` beside `limit`."""

Call = tuple[str, list[Any]]
Error = tuple[str, str, int, Mapping[str, Any]]
"""An error of the TypeScript SDK: its class, code and status, and some of its details."""
Outcome = Mapping[str, Any]

SAID: Final[Call] = ("create", ["Hello", "SAM"])
DOWN: Final[Error] = ("ServiceUnavailableError", "SERVICE_UNAVAILABLE", 503, {})
MONTH_SPENT: Final[Error] = (
    *("MonthlyLimitExceededError", "MONTHLY_LIMIT_EXCEEDED", 429),
    {"limit": PER_MONTH, "used": PER_MONTH},
)
REFUSED: Final[Sequence[tuple[Call, Error]]] = (
    (("create", ["", "sam"]), ("MissingFieldError", "MISSING_FIELD", 400, {"field": "text"})),
    (("create", [7, "sam"]), ("InvalidInputError", "INVALID_INPUT", 400, {"field": "text", "providedType": "number"})),
    (("create", ["x", "nova"]), ("InvalidVoiceError", "INVALID_VOICE", 400, {"requestedVoice": "nova"})),
    (("create", ["x" * (PER_MEMO + 1), "sam"]), ("ValidationError", "VALIDATION_ERROR", 400, {"limit": PER_MEMO})),
    (("create", ["x" * 100_001, "sam"]), ("ValidationError", "VALIDATION_ERROR", 400, {"limit": 100_000})),
    (("demo", ["x" * 1001, "sam"]), ("ValidationError", "VALIDATION_ERROR", 400, {"limit": 1000})),
    (("create", ["x" * 1_100_000, "sam"]), ("AgentTalkError", "PAYLOAD_TOO_LARGE", 413, {})),
)


class Sdk:
    """One SDK, in a separate process for each sequence of calls."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._environ = environ

    def call(self, url: str, key: str | None, *calls: Call) -> list[Outcome]:
        """Make the calls in order. Returns the result or the error of each."""
        asked = [{"url": url, "key": key, "call": call, "values": values} for call, values in calls]
        child = subprocess.run(
            self._command,
            input=json.dumps(asked).encode(),
            env={**os.environ, **self._environ},
            stdout=subprocess.PIPE,
            check=True,
        )
        outcomes: list[Outcome] = json.loads(child.stdout)
        return outcomes

    def values(self, url: str, key: str | None, *calls: Call) -> list[Any]:
        outcomes = self.call(url, key, *calls)
        assert all("value" in outcome for outcome in outcomes), outcomes
        return [outcome["value"] for outcome in outcomes]

    def refused(self, url: str, key: str | None, call: Call, error: Error) -> None:
        """Assert that a call raises the error."""
        (outcome,) = self.call(url, key, call)
        name, code, status, details = error
        assert "raised" in outcome, (self.name, call, outcome)
        seen = outcome["raised"], outcome["code"], outcome["status"]
        if self.name == "Python" and UNKNOWN_TO_PYTHON & details.keys():
            assert seen == ("TypeError", None, None), (call[0], outcome)
            return
        assert seen == (name, code, status), (self.name, call[0], outcome)
        assert details.items() <= (outcome.get("details") or {}).items(), (self.name, call[0], outcome)


def main() -> int:
    folder = Path(os.environ.get("SDK_CHECKOUT", "")).resolve()
    built = folder / "dist" / "index.mjs"
    if not built.is_file():
        print("name the folder of the SDKs, with the TypeScript one built: set SDK_CHECKOUT", file=sys.stderr)
        return 2
    sdks = (
        Sdk("Python", [sys.executable, str(HERE / "calls.py")], {"PYTHONPATH": str(folder / "python")}),
        Sdk("TypeScript", ["node", str(HERE / "calls.mjs"), str(built)], {}),
    )
    asyncio.run(_on_memory(sdks))
    if "MICRO_CHECKOUT" in os.environ:
        asyncio.run(_on_micro(sdks, Path(os.environ["MICRO_CHECKOUT"])))
    return 0


async def _on_memory(sdks: Sequence[Sdk]) -> None:
    with gateway_in({"AGENT_TALK_STORE": "memory"}) as gateway:
        await gateway.start()
        await _used("memory", gateway.url, sdks)


async def _on_micro(sdks: Sequence[Sdk], checkout: Path) -> None:
    """Run the same calls on HYPR Micro, and the end of a month and an outage."""
    with micro_server(checkout) as server, gateway_in(micro_environ(server.url)) as gateway:
        await server.start()
        await gateway.start()
        await _used("HYPR Micro", gateway.url, sdks)
        spent, person = await _newcomer(gateway.url), await _newcomer(gateway.url)
        async with opened_store(maintenance_settings(gateway.env)) as store:
            await spend(store, spent, day_left=1, month_left=0)
        for sdk in sdks:
            sdk.refused(gateway.url, spent.key, SAID, MONTH_SPENT)
        server.kill()
        for sdk in sdks:
            sdk.refused(gateway.url, person.key, SAID, DOWN)
        print("HYPR Micro, killed: each raises its error of an outage", flush=True)


async def _used(store: str, url: str, sdks: Sequence[Sdk]) -> None:
    for sdk in sdks:
        _without_a_key(sdk, url)
        await _with_a_key(sdk, url)
        await _refused_by_limits(sdk, url)
        print(f"{store}, {sdk.name}: each call answers, and each error is its own", flush=True)
    for sdk in sdks:  # last, since all SDKs share one address's limits
        sdk.call(url, None, *[("demo", ["A demo", "sam"])] * DEMOS)
        sdk.refused(url, None, ("demo", ["A demo", "sam"]), ("RateLimitError", "RATE_LIMIT_EXCEEDED", 429, {}))


def _without_a_key(sdk: Sdk, url: str) -> None:
    health, voices, rachel, nova, demo = sdk.values(
        url,
        None,
        ("health", []),
        ("voices", []),
        ("voice", ["rachel"]),
        ("voice", ["nova"]),
        ("demo", ["A demo", "sam"]),
    )
    assert (health["status"], health["service"], health["database"]["status"]) == ("ok", "Agent Talk API", "ok")
    assert voices == list(VOICES)
    assert (rachel["name"], nova) == ("Rachel", None)
    assert (demo["text"], demo["voice"]["id"], demo["audio"]["format"]) == ("A demo", "sam", "mp3")
    sdk.refused(url, None, SAID, ("MissingApiKeyError", "MISSING_API_KEY", 401, {}))
    sdk.refused(url, "at_live_nope", SAID, ("InvalidApiKeyError", "INVALID_API_KEY", 401, {}))
    sdk.refused(f"{url}/nowhere", None, ("health", []), ("NotFoundError", "NOT_FOUND", 404, {}))


async def _with_a_key(sdk: Sdk, url: str) -> None:
    person = await _newcomer(url)
    (memo,) = sdk.values(url, person.key, SAID)
    assert (memo["text"], memo["voice"]["id"], memo["audio"]["format"]) == ("Hello", "sam", "mp3")
    assert memo["audio"]["url"].startswith(f"{url.replace('127.0.0.1', 'localhost')}/audio/")
    for call, error in REFUSED:
        sdk.refused(url, person.key, call, error)
    front = Front(url)
    await front.send("DELETE", f"/api/keys/{person.key_id}", token=person.session)
    await front.close()
    sdk.refused(url, person.key, SAID, ("RevokedKeyError", "REVOKED_KEY", 403, {}))


async def _refused_by_limits(sdk: Sdk, url: str) -> None:
    """Check the plan's day, in which a refused call takes no place, and a limit of the key's own."""
    person = await _newcomer(url)
    front = Front(url)
    limited = await front.send("POST", "/api/keys", token=person.session, json={"limits": {"charactersPerMonth": 6}})
    await front.close()
    key = limited.body["key"]["key"]
    sdk.values(url, key, SAID)
    sdk.refused(url, key, SAID, ("DailyLimitExceededError", "DAILY_LIMIT_EXCEEDED", 429, {"limit": 6, "used": 5}))
    sdk.values(url, person.key, *[SAID] * (PER_DAY - 1))
    day: Error = ("DailyLimitExceededError", "DAILY_LIMIT_EXCEEDED", 429, {"limit": PER_DAY, "used": PER_DAY})
    sdk.refused(url, person.key, SAID, day)


async def _newcomer(url: str) -> Person:
    front, person = Front(url), somebody()
    await sign_up(front, person)
    await front.close()
    return person


if __name__ == "__main__":
    sys.exit(main())
