"""Garbage collection for short cold starts: the entry points ``functions/*/app.py`` import this module first."""

import gc
import os

# Nearly all of the 115,000 objects that a cold start creates stay. By default Python searches them for garbage 40
# times, a fourteenth of the cold start. This threshold lets 150,000 more objects, about 20 MB at worst, come before the
# next search.
OBJECTS_BETWEEN_COLLECTIONS = 150_000

# Only in Lambda ("Defined runtime environment variables", Lambda developer guide): the embedded AWS and the tests run
# the functions in a process that is not theirs to tune.
if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
