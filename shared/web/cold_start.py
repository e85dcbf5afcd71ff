"""Start-up work that a Lambda initialisation does ahead of the first event."""

import gc
import inspect
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from typing import Final

from shared.core.parameters import names_parameters
from shared.core.settings import StoreChoice, chosen_store

_IMPORTED_TO_OPEN: Final[Mapping[StoreChoice, tuple[str, ...]]] = {
    StoreChoice.MEMORY: ("shared.stores.memory.store", "shared.stores.memory.file"),
    StoreChoice.MICRO: (
        "shared.micro_connections",
        "shared.micro",
        "shared.stores.micro.store",
        "httpcore",  # httpx imports it when it opens a pool,
        "anyio._backends._asyncio",  # and anyio this when it opens a connection
    ),
    StoreChoice.DYNAMODB: ("shared.stores.dynamo.client", "shared.stores.dynamo.store"),
}
"""Each is for those who chose the store: no other function pays for it."""


def prepare(env: Mapping[str, str]) -> None:
    """Do what the first event would, as far as it needs no network: import what opens the store that the environment
    asks for and what logs, load OpenSSL, read the certificates, and compile the tokenizer's patterns, by which FastAPI
    finds an endpoint's line. What is there then is never garbage."""
    sha256()
    choice = chosen_store(env)
    for module in ("aws_lambda_powertools", *_IMPORTED_TO_OPEN[choice]):
        import_module(module)
    if names_parameters(env):
        import_module("urllib.request")
    if choice is StoreChoice.MICRO:
        with suppress(OSError, ValueError):  # the first event tells what is wrong with them
            import_module("shared.micro_connections").tls_context(
                env.get("HYPR_URL") or env.get("HYPR_PLATFORM_URL") or ""
            )
    inspect.getsourcelines(prepare)
    gc.freeze()
