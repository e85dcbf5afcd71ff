"""Items of DynamoDB as rows and counters."""

from datetime import UTC, datetime

import pytest

from shared.stores.dynamo.items import read_counters

MONTH_ENDS: datetime = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attribute", "ends_at"),
    [
        ("n", MONTH_ENDS),
        ("n-02", datetime(2026, 2, 3, tzinfo=UTC)),
        ("n-28", MONTH_ENDS),
        ("n-29", MONTH_ENDS),
        ("n-31", MONTH_ENDS),
    ],
)
def test_counter_ends_with_its_day_or_else_its_month(attribute: str, ends_at: datetime) -> None:
    """A day that its month has not, such as 29 February in 2026, ends with the month."""
    item = {
        "sk": {"S": "u:calls:2026-02"},
        "ttl": {"N": str(int(MONTH_ENDS.timestamp()))},
        attribute: {"N": "7"},
    }
    (counter,) = read_counters(item)
    assert (counter.value, counter.ends_at) == (7, ends_at)
