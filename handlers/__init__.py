"""One module per resource, each one Lambda function.

What an initialisation makes, it keeps. In Lambda the garbage collector, which would look through it all time and again
(an eighth of the initialisation), rests until the function is built; `Function` wakes it.
"""

import gc
import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()
