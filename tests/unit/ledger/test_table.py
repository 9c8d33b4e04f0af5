import pytest

from courier.ledger import BuildLedger, Table
from courier.ledger.table import decode
from local.simulator import ManualClock


@pytest.fixture
def builds(table: Table, clock: ManualClock) -> BuildLedger:
    return BuildLedger(table, clock)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("-3", -3), ("1.5", 1.5), ("1E+2", 100.0), ("1e2", 100.0)])
def test_numbers_are_read_however_dynamodb_writes_them(text: str, value: float) -> None:
    assert decode({"n": {"N": text}, "list": {"L": []}}) == {"n": value}
