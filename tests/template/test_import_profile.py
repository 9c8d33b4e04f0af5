"""The import profile of Python is parsed, and unused imports are named."""

from scripts.lambda_runtime.cold_starts import Timing, unwanted_modules
from scripts.lambda_runtime.import_profile import read_imports

OUTPUT = """\
import time: self [us] | cumulative | imported package
import time:      1500 |       1500 |   requests.models
import time:       500 |       2000 | requests
{"level": "INFO", "message": "tick done"}
import time:      1000 |       1000 |     courier.providers.base
import time:       250 |        250 | json
"""


def test_time_is_summed_per_package_without_what_it_imports() -> None:
    imports = read_imports(OUTPUT)
    assert imports.milliseconds == {"requests": 2.0, "courier": 1.0, "json": 0.25}
    assert imports.total_milliseconds == 3.25
    assert imports.largest(1) == "requests 2"
    assert imports.modules == {"requests.models", "requests", "courier.providers.base", "json"}


def test_only_what_a_function_does_not_use_is_unwanted() -> None:
    imports = read_imports(OUTPUT)
    assert unwanted_modules(Timing("copy_artifact", imports=imports)) == []
    assert unwanted_modules(Timing("record_outcome", imports=imports)) == [
        "courier.providers.base",
        "requests",
        "requests.models",
    ]
