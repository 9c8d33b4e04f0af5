"""The ledger: one DynamoDB table with the state of builds, requests, sources and scopes."""

from courier.ledger.acts import ActLedger
from courier.ledger.builds import BuildLedger
from courier.ledger.requests import RequestLedger
from courier.ledger.rows import BuildRow, DueBuild
from courier.ledger.sources import SourceLedger, SourceState
from courier.ledger.table import Table

__all__ = ["ActLedger", "BuildLedger", "BuildRow", "DueBuild", "RequestLedger", "SourceLedger", "SourceState", "Table"]
