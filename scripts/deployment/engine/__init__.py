"""The process of the second engine: LocalStack with the shims that close its gaps.

It runs in `.venv-deployment`, which contains nothing of this project; so these modules import LocalStack, the standard
library, `scripts.lambda_runtime.sandbox`, and nothing else.
"""
