"""The built things that the second engine deploys and runs; `make verify-deployment` makes them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".aws-sam/build"
# The environment of the functions: awslambdaric and boto3, and nothing else.
RUNTIME_PYTHON = ROOT / ".venv-runtime/bin/python"
# The layer of third-party packages, built for this machine.
NATIVE_LAYER = ROOT / ".aws-sam/runtime/DependenciesLayer"
SAM = ROOT / ".venv-sam/bin/sam"
COURIER = ROOT / ".venv/bin/courier"
NODE_MODULES = ROOT / "scripts/checks/npm/node_modules"
