"""``make deploy``: asks once, keeps the answers, and deploys with the project's own SAM CLI."""
