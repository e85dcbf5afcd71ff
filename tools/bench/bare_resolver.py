"""A peer of a cold start: Powertools' resolver and its Logger, and one route. It uses no store."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

app = APIGatewayHttpResolver()
logger = Logger(service="bare")


@app.get("/")
def get() -> dict[str, bool]:
    return {"ok": True}


handler = app.resolve
