"""Logs and metrics of the functions: structured, in one namespace, and without secrets."""

import logging

from aws_lambda_powertools import Logger

# The service name, the level and the namespace come from the template's environment variables.
logger = Logger()

# At the level DEBUG, Lambda lets every library speak, and botocore repeats the answers of Secrets Manager.
for talkative in ("boto3", "botocore", "urllib3"):
    logging.getLogger(talkative).setLevel(logging.INFO)
