"""Totals, shares, charts and exports of an owner's history: routes of the usage function."""

from datetime import date, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from handlers.models.base import Answer, Success
from handlers.models.memos import MemoAnswer
from handlers.models.openapi import CALLER_ERRORS, QUERY_ERRORS, errors
from handlers.models.queries import DEFAULT_DAYS, Whole, begins, ends, one_of, option, too_long
from handlers.usage_statistics import Statistics
from shared.core.clock import DAY, MILLISECOND
from shared.core.errors import PayloadTooLarge, ValidationFailed
from shared.speech.voices import VOICES
from shared.usage.export import Exports
from shared.usage.reports import Period, Share
from shared.web.auth import RequestServices, UsageExporter, UsageReader

routes = APIRouter(tags=["usage"])

MOST_DAYS: Final = 366
"""The most days of a chart or an export: a leap year."""

MOST_YEARS_IN_DAYS: Final = 3660
"""The longest range of days: ten years, which are 120 documents."""

MEDIA_TYPES: Final = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}

RANGE_ERRORS: Final = (*QUERY_ERRORS, *CALLER_ERRORS)


class DayAnswer(Answer):
    date: str
    calls: int
    characters: int


class WeekAnswer(Answer):
    week: str
    calls: int
    characters: int


class MonthAnswer(Answer):
    month: str
    calls: int
    characters: int


class UsageData(Answer):
    total: int
    daily: list[DayAnswer]
    weekly: list[WeekAnswer]
    monthly: list[MonthAnswer]


class UsageAnswer(Success):
    data: UsageData


class VoiceShare(Answer):
    voice_id: str
    voice_name: str
    call_count: int
    percentage: float


class VoicesAnswer(Success):
    data: list[VoiceShare]


class ErrorShare(Answer):
    error_type: str
    count: int
    percentage: float


class ErrorData(Answer):
    total_requests: int
    total_errors: int
    error_rate: float
    errors_by_type: list[ErrorShare]


class ErrorsAnswer(Success):
    data: ErrorData


class SummaryData(Answer):
    total_calls: int
    total_characters: int
    avg_characters_per_call: int
    most_used_voice: str | None
    calls_today: int
    calls_this_week: int
    calls_this_month: int


class SummaryAnswer(Success):
    data: SummaryData


class ChartData(Answer):
    daily: list[DayAnswer]
    days: int


class ChartsAnswer(Success):
    data: ChartData


StartDate = Annotated[str | None, Query(alias="startDate", description="First day, ISO 8601, UTC")]
EndDate = Annotated[str | None, Query(alias="endDate", description="Last day, ISO 8601, UTC")]
DayCount = Annotated[int, Whole, Query(description="How many days, the last of them today: 1 to 366")]


@routes.get("/api/v1/analytics/usage", responses=errors(*RANGE_ERRORS))
async def get_usage(
    caller: UsageReader,
    services: RequestServices,
    reports: Statistics,
    start_date: StartDate = None,
    end_date: EndDate = None,
) -> UsageAnswer:
    """Return the days, weeks and months with calls, newest first. The default is the last 30 days."""
    first, last = _range(start_date, end_date, services.clock())
    usage = await reports.usage(caller.user_id, first, last)
    return UsageAnswer(
        success=True,
        data=UsageData(
            total=usage.total,
            daily=[_day(day) for day in usage.daily],
            weekly=[WeekAnswer(week=week.name, calls=week.calls, characters=week.characters) for week in usage.weekly],
            monthly=[
                MonthAnswer(month=month.name, calls=month.calls, characters=month.characters) for month in usage.monthly
            ],
        ),
    )


@routes.get("/api/v1/analytics/voices", responses=errors(*RANGE_ERRORS))
async def get_voices(
    caller: UsageReader, reports: Statistics, start_date: StartDate = None, end_date: EndDate = None
) -> VoicesAnswer:
    """Return the voices of the calls in a range of days, the most used first. The default is all time."""
    first, last = _first_day(start_date), _last_day(end_date)
    if first and last and first > last:
        raise ValidationFailed("startDate must not be after endDate", details={"field": "startDate"})
    voices = await reports.voices(caller.user_id, first, last)
    return VoicesAnswer(success=True, data=[_voice(share) for share in voices])


@routes.get("/api/v1/analytics/errors", responses=errors(*RANGE_ERRORS))
async def get_errors(
    caller: UsageReader,
    services: RequestServices,
    reports: Statistics,
    start_date: StartDate = None,
    end_date: EndDate = None,
) -> ErrorsAnswer:
    """Return the errors by kind, and the percentage of errors among calls and errors.

    The default is the last 30 days.
    """
    first, last = _range(start_date, end_date, services.clock())
    report = await reports.errors(caller.user_id, first, last)
    return ErrorsAnswer(
        success=True,
        data=ErrorData(
            total_requests=report.requests,
            total_errors=report.errors,
            error_rate=report.rate,
            errors_by_type=[
                ErrorShare(error_type=_error_type(share.name), count=share.count, percentage=share.percentage)
                for share in report.by_type
            ],
        ),
    )


@routes.get("/api/v1/analytics/summary", responses=errors(*CALLER_ERRORS))
async def get_summary(caller: UsageReader, reports: Statistics) -> SummaryAnswer:
    """Return the totals of all time, the most used voice, and the calls of today, this ISO week and this month."""
    summary = await reports.summary(caller.user_id)
    return SummaryAnswer(
        success=True,
        data=SummaryData(
            total_calls=summary.total.calls,
            total_characters=summary.total.characters,
            avg_characters_per_call=summary.characters_per_call,
            most_used_voice=summary.voice,
            calls_today=summary.today,
            calls_this_week=summary.this_week,
            calls_this_month=summary.this_month,
        ),
    )


@routes.get("/api/v1/analytics/charts", responses=errors(*RANGE_ERRORS))
async def get_charts(caller: UsageReader, reports: Statistics, days: DayCount = 7) -> ChartsAnswer:
    """Return the calls and characters of each of the last days, oldest first."""
    daily = await reports.last_days(caller.user_id, _days(days))
    return ChartsAnswer(success=True, data=ChartData(daily=[_day(day) for day in daily], days=days))


@routes.get(
    "/api/v1/analytics/export",
    response_class=Response,
    responses=errors(*RANGE_ERRORS, PayloadTooLarge)
    | {200: {"description": "A file", "content": {"text/csv": {}, "application/x-ndjson": {}}}},
)
async def export_usage(
    caller: UsageExporter,
    services: RequestServices,
    reports: Statistics,
    days: DayCount = DEFAULT_DAYS,
    form: Annotated[str, one_of(MEDIA_TYPES, alias="format", description="`csv` or `ndjson`")] = "csv",
) -> Response:
    """Return every memo of the last days as a file; in CSV the usage of each day, too.

    413: the file would have more than 6 MB. Choose fewer days.
    """
    count, kind = _days(days), option("format", form or "csv", list(MEDIA_TYPES))
    url = services.settings.public_url
    exports = Exports(memos=services.tables.memos, reports=reports, public_url=url, clock=services.clock)
    if kind == "csv":
        text = await exports.csv(caller.user_id, count)
    else:
        text = await exports.ndjson(
            caller.user_id, count, lambda memo: MemoAnswer.of(memo, public_url=url).model_dump_json()
        )
    name = f"agent-talk-usage-{services.clock():%Y-%m-%d}.{kind}"
    return Response(
        text, media_type=MEDIA_TYPES[kind], headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def _range(start_date: str | None, end_date: str | None, now: datetime) -> tuple[date, date]:
    """Return the first and the last day. Raises ValidationFailed if their order is wrong, or the range too long."""
    last = _last_day(end_date) or now.date()
    first = _first_day(start_date) or last - (DEFAULT_DAYS - 1) * DAY
    if first > last:
        raise ValidationFailed("startDate must not be after endDate", details={"field": "startDate"})
    count = (last - first).days + 1
    if count > MOST_YEARS_IN_DAYS:
        raise too_long("startDate", f"{MOST_YEARS_IN_DAYS} days", limit=MOST_YEARS_IN_DAYS, provided=count)
    return first, last


def _first_day(start_date: str | None) -> date | None:
    return begins("startDate", start_date).date() if start_date else None


def _last_day(end_date: str | None) -> date | None:
    return (ends("endDate", end_date) - MILLISECOND).date() if end_date else None


def _days(count: int) -> int:
    if not 1 <= count <= MOST_DAYS:
        raise ValidationFailed(
            f"days must be between 1 and {MOST_DAYS}", details={"field": "days", "limit": MOST_DAYS, "provided": count}
        )
    return count


def _day(period: Period) -> DayAnswer:
    return DayAnswer(date=period.name, calls=period.calls, characters=period.characters)


def _voice(share: Share) -> VoiceShare:
    name = VOICES[share.name].name if share.name in VOICES else share.name
    return VoiceShare(voice_id=share.name, voice_name=name, call_count=share.count, percentage=share.percentage)


def _error_type(action: str) -> str:
    """Return `rate limit` for `error_rate_limit`: published pages show these words."""
    return action.removeprefix("error_").replace("_", " ")
