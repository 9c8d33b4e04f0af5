"""What the five functions share: providers, the ledger, the copy, records and notices."""

import gc
import os

__version__ = "0.1.0"

# Nearly all of the 115,000 objects that a cold start makes stay. Searching them for garbage 40 times, as Python does by
# default, is a fourteenth of it; now so many more may be made before a search, about 20 MB of them at worst.
OBJECTS_BETWEEN_COLLECTIONS = 150_000

# In Lambda only ("Defined runtime environment variables", Lambda developer guide): elsewhere it is not ours to say.
if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
