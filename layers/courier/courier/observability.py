"""Logs and metrics of the functions: structured, in one namespace, and without secrets."""

from aws_lambda_powertools import Logger

# The service name, the level and the namespace come from the template's environment variables.
logger = Logger()
