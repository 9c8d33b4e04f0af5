"""What `record_outcome` loads to abort uploads."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_clean_up_loads_neither_the_download_nor_the_settings_of_sources() -> None:
    program = "import sys, courier.transfer.upload_cleanup; print(*sys.modules)"
    result = subprocess.run(  # noqa: S603 - our own package
        [sys.executable, "-c", program], cwd=ROOT / "layers/courier", capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "courier.transfer.s3_object" in loaded
    assert not loaded & {
        "boto3",
        "requests",
        "courier.config.settings",
        "courier.transfer.copy",
        "courier.transfer.publisher",
        "courier.transfer.download",
        "courier.transfer.http_client",
        "courier.transfer.url_policy",
    }
