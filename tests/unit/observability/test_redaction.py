"""Text of others in our messages: one line, bounded, without secrets."""

import pytest

from courier.observability.redaction import redact


@pytest.mark.parametrize(
    "text",
    [
        "no access to https://bucket.s3.amazonaws.com/x.pdf?X-Amz-Date=1&X-Amz-Signature=hushhush",
        r"no access to https:\/\/bucket.s3.amazonaws.com\/x.pdf?X-Amz-Signature=hushhush",
        "moved to HTTPS://storage.example.com/x?sv=2020&hushhush",
        "signed with X-Amz-Signature=hushhush",
        "call it with api_key=hushhush",
        "you sent Bearer hushhush",
    ],
)
def test_secrets_do_not_survive(text: str) -> None:
    assert "hush" not in redact(text, secrets=["hushhush"] if "Bearer" in text else [])


def test_text_is_one_printable_line() -> None:
    assert redact("a\x00b\x1b[31m\r\n\tc\u202e\ud800 d") == "a b [31m c ? d"
    assert redact("x" * 50, limit=10) == "xxxxxxxxx…"
