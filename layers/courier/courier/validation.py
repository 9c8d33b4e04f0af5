"""What does not fit a model, in words that an operator can act on."""

from pydantic import ValidationError

from courier.models import SLUG_PATTERN


def describe_validation(error: ValidationError, *, where: str = "") -> str:
    """One line per wrong place, ``project: field required`` style, without the values, which may be secret."""
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
        place = f"{where}{place}".lstrip(".")
        message = item["msg"].removeprefix("Value error, ")
        if SLUG_PATTERN in message:
            message = "must be lower-case letters, digits and hyphens, at most 40, with a letter or digit at both ends"
        lines.append(f"{place}: {message[0].lower()}{message[1:]}" if place else message)
    return "; ".join(lines)
