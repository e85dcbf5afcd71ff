"""One module per resource is one Lambda function: users, keys, memos, usage, subscriptions, health.

In Lambda two things would make an initialisation longer by an eighth each, to no end. The garbage collector, which
would look time and again through what all stays, rests until the function is built: `Function` wakes it. And FastAPI
imports `pydantic.v1` to tell old models from new ones: it does without where there is none, and nothing here has any.
"""

import gc
import os
import sys

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()
    sys.modules["pydantic.v1"] = None  # type: ignore[assignment] # Python's way to say that there is none
