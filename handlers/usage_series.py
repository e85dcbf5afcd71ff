"""Series of calls and errors by the hour or day: a route of the usage function."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from handlers.models.base import Answer
from handlers.models.openapi import CALLER_ERRORS, QUERY_ERRORS, errors
from handlers.models.queries import DEFAULT_DAYS, begins, one_of, option, too_long, up_to
from handlers.usage_statistics import Statistics
from shared.core.clock import DAY, Instant
from shared.core.errors import ValidationFailed
from shared.usage.counts import Counts, GroupBy
from shared.usage.reports import Bucket, Slot
from shared.web.auth import RequestServices, UsageReader

routes = APIRouter(tags=["usage"])

LAST_YEAR: Final = 9999
"""The year in which a series may not end: Python has no later one, in which its last bucket could end."""


class Result(Answer):
    """`audioSeconds` are the seconds of the calls' audio, to the millisecond."""

    calls: int
    characters: int
    audio_seconds: float
    errors: int


class KeyResult(Result):
    api_key_id: str | None


class VoiceResult(Result):
    voice: str | None


class ActionResult(Result):
    action: str


class BucketAnswer(Answer):
    """`results` has one entry; with `groupBy`, one for each group with activity in the bucket."""

    start_time: Instant
    end_time: Instant
    results: list[KeyResult | VoiceResult | ActionResult | Result]


class SeriesAnswer(Answer):
    buckets: list[BucketAnswer]


@routes.get("/api/v1/usage/series", responses=errors(*QUERY_ERRORS, *CALLER_ERRORS))
async def get_series(
    caller: UsageReader,
    services: RequestServices,
    reports: Statistics,
    start_time: Annotated[str | None, Query(alias="startTime", description="ISO 8601, inclusive")] = None,
    end_time: Annotated[
        str | None, Query(alias="endTime", description="ISO 8601, exclusive; a date means its whole day")
    ] = None,
    bucket: Annotated[str, one_of(Bucket, description="`1h` or `1d`")] = Bucket.DAY.value,
    group_by: Annotated[str | None, one_of(GroupBy, alias="groupBy", description="`key`, `voice` or `action`")] = None,
) -> SeriesAnswer:
    """Return calls and errors in whole UTC hours (at most 168) or days (at most 366).

    The default is the last 30 days, by the hour the last 168 hours.
    """
    size = Bucket(option("bucket", bucket or Bucket.DAY, [bucket.value for bucket in Bucket]))
    group = GroupBy(option("groupBy", group_by, [grouping.value for grouping in GroupBy])) if group_by else None
    now = services.clock()
    end = up_to("endTime", end_time) if end_time else now
    if end.year == LAST_YEAR:
        raise ValidationFailed("endTime is too late", details={"field": "endTime"})
    start = begins("startTime", start_time) if start_time else _default_start(end, size)
    if start >= end:
        raise ValidationFailed("startTime must be before endTime", details={"field": "startTime"})
    count = size.spanning(start, end)
    if count > size.at_most:
        raise too_long("endTime", f"{size.at_most} buckets of {size}", limit=size.at_most, provided=count)
    slots = await reports.series(caller.user_id, start, end, bucket=size, group_by=group)
    return SeriesAnswer(buckets=[_bucket(slot, group) for slot in slots])


def _default_start(end: datetime, bucket: Bucket) -> datetime:
    """Return the default start: 30 days before the end. By the hour, the 168 hours before it."""
    return bucket.ceiling(end) - min(bucket.at_most * bucket.length, DEFAULT_DAYS * DAY)


def _bucket(slot: Slot, group_by: GroupBy | None) -> BucketAnswer:
    """Map a bucket without validation. For a union of some thousand results it takes longer than all other work."""
    results = [_result(name or None, counts, group_by) for name, counts in slot.groups.items()]
    return BucketAnswer.model_construct(start_time=slot.start, end_time=slot.end, results=results)


def _result(
    name: str | None, counts: Counts, group_by: GroupBy | None
) -> KeyResult | VoiceResult | ActionResult | Result:
    fields: dict[str, Any] = {
        "calls": counts.calls,
        "characters": counts.characters,
        "audio_seconds": counts.audio_seconds,
        "errors": counts.errors,
    }
    match group_by:
        case GroupBy.KEY:
            return KeyResult(**fields, api_key_id=name)
        case GroupBy.VOICE:
            return VoiceResult(**fields, voice=name)
        case GroupBy.ACTION:
            return ActionResult(**fields, action=name or "")
        case None:
            return Result(**fields)
