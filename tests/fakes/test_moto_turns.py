import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.fakes.dynamo_world import LIVE_URL, engine, table_on


@pytest.mark.skipif(bool(LIVE_URL), reason="a live engine answers several calls at once")
def test_calls_of_moto_take_turns_after_errors_too() -> None:
    """Eight threads write and read, half of the reads in a missing table: one call is in progress at any time."""
    under_way: list[int] = []
    most = 0

    def on_its_way(**_: object) -> None:
        nonlocal most
        under_way.append(1)
        most = max(most, len(under_way))
        time.sleep(0.001)  # lets the other threads run
        under_way.pop()

    with engine() as client, table_on(client) as table:
        client.meta.events.register_first("before-send", on_its_way)

        def write_and_read(number: int) -> None:
            key = {"pk": {"S": "row"}, "sk": {"S": "0"}}
            client.put_item(TableName=table, Item={**key, f"a{number}": {"N": "1"}})
            client.get_item(TableName=table, Key=key)
            with pytest.raises(ClientError, match="ResourceNotFound"):
                client.get_item(TableName="missing", Key=key)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write_and_read, range(16)))
    assert most == 1
