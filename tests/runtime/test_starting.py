"""The deployed function has the properties that keep cold starts short; run by `make verify-runtime`."""

import json
from pathlib import Path

import pytest

from scripts.lambda_runtime.sandbox import FunctionCode, Sandbox

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-runtime/bin/python"
LAYERS = (ROOT / ".aws-sam/build/CourierLayer", ROOT / ".aws-sam/runtime/DependenciesLayer")
KEYS = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}


def result_of(folder: Path, source: str) -> object:
    (folder / "app.py").write_text(source, encoding="utf-8")
    with Sandbox(PYTHON, FunctionCode(folder=folder, layers=LAYERS), variables=KEYS) as sandbox:
        outcome = sandbox.invoke("{}", timeout_seconds=30)
    assert outcome.error_type is None, outcome
    return json.loads(outcome.payload)


def test_creating_a_client_lists_only_the_folder_of_its_service(tmp_path: Path) -> None:
    source = (
        "import os, sys\n"
        "from courier import aws\n"
        "seen = []\n"
        "calls = ('os.listdir', 'os.scandir')\n"
        "sys.addaudithook(lambda name, found: seen.append(str(found[0])) if name in calls else None)\n"
        "def handler(event, context):\n"
        "    aws.client('s3'), aws.client('dynamodb')\n"
        "    return sorted({os.path.basename(path) for path in seen if 'botocore/data' in path})\n"
    )
    assert result_of(tmp_path, source) == ["data", "dynamodb", "s3"]


def test_the_garbage_collector_does_not_run_in_a_cold_start(tmp_path: Path) -> None:
    handler = (ROOT / "functions/record_outcome/app.py").read_text(encoding="utf-8")
    source = (
        "import gc\n"
        "import courier.aws.lambda_runtime\n"
        "before = [found['collections'] for found in gc.get_stats()]\n"
        f"{handler}\n"
        "from courier import aws\n"
        "aws.client('s3'), aws.client('dynamodb')\n"
        "def handler(event, context):\n"
        "    after = [found['collections'] for found in gc.get_stats()]\n"
        "    return [gc.isenabled(), [late - early for late, early in zip(after, before)]]\n"
    )
    assert result_of(tmp_path, source) == [True, [0, 0, 0]]
