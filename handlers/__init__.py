"""One module per Lambda function: parse the request, call one service function, map its answer."""

import shared.web.cold_start  # noqa: F401 its tricks apply only to later imports, so this one is first
