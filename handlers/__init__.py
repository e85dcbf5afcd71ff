"""One module per Lambda function: parse the request, call one service function, map its answer."""

import shared.web.cold_start  # noqa: F401 its tricks must precede the imports of every handler
