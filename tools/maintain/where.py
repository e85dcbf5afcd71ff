"""The place of a store, described for a person and without any secret."""

import hashlib
from urllib.parse import urlsplit

from shared.core.settings import Settings, StoreChoice


def where(settings: Settings) -> str:
    """Describe the store that the settings choose. Raises StoreError if DynamoDB's client cannot be made.

    The slug of a platform's app is a secret: eight digits of its SHA-256 stand for it.
    """
    match settings.store:
        case StoreChoice.MEMORY:
            return f"memory, file {settings.memory_file.resolve() if settings.memory_file else 'none'}"
        case StoreChoice.MICRO if settings.hypr_platform_url:
            app = hashlib.sha256(settings.hypr_app_slug.encode()).hexdigest()[:8]
            return f"HYPR Micro, app {app} at {settings.hypr_platform_url}"
        case StoreChoice.MICRO:
            return f"HYPR Micro at {settings.hypr_url}"
        case StoreChoice.DYNAMODB:
            return f"DynamoDB, table {settings.dynamodb_table} at {_endpoint()}"


def _endpoint() -> str:
    """Return the endpoint that boto3 would use. AWS's own contains the region."""
    from shared.stores.dynamo.client import open_client  # noqa: PLC0415 only DynamoDB needs boto3
    from shared.stores.dynamo.failures import failure  # noqa: PLC0415

    try:
        client = open_client()
    except Exception as exc:
        error = failure(exc)
        if error is None:
            raise
        raise error.meaning.error(f"{error.meaning.what} ({error})") from exc
    url, region = urlsplit(client.meta.endpoint_url), client.meta.region_name
    client.close()
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}, region {region}"
