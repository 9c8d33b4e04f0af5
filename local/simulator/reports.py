"""Real PDF reports of an exact size, deterministic for a seed, and fast enough for tests with tens of MB."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from random import Random
from typing import Any, Final

# reportlab carries no type information.
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.pdfbase import pdfdoc  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

# One byte per pixel and no filter: random data cannot be compressed, and trying takes seconds per 20 MB.
IMAGE_WIDTH_PIXELS: Final = 1024
IMAGE_LARGEST_PIXELS: Final = 2 * 1024 * IMAGE_WIDTH_PIXELS
SMALLEST_REPORT_BYTES: Final = 16 * 1024
# Pages without an image, cross-reference table and dictionaries; the rest of the size becomes a comment.
FIXED_BYTES: Final = 8 * 1024
BYTES_PER_IMAGE_PAGE: Final = 2 * 1024

SEVERITIES: Final = ("critical", "high", "medium", "low")
FINDINGS: Final = ("jailbreak", "prompt leak", "data exfiltration", "unsafe advice", "tool misuse")


@lru_cache(maxsize=8)
def make_report(seed: str, size_bytes: int) -> bytes:
    """Return a PDF of exactly `size_bytes` with a cover, a table of findings and pages of images.

    Raises
    ------
    ValueError
        `size_bytes` is below `SMALLEST_REPORT_BYTES`.
    """
    if size_bytes < SMALLEST_REPORT_BYTES:
        raise ValueError(f"a report has at least {SMALLEST_REPORT_BYTES} bytes, not {size_bytes}")
    random = Random(f"{seed}/{size_bytes}")  # noqa: S311 - content of a test report
    target = io.BytesIO()
    pdf = Canvas(target, pagesize=A4, invariant=1, pageCompression=0)
    pdf.setTitle("AI red teaming report (simulated)")
    _draw_cover(pdf, seed)
    _draw_findings(pdf, random)
    for number, pixels in enumerate(_image_sizes(size_bytes), start=1):
        _draw_evidence(pdf, number, random.randbytes(pixels))
    pdf.save()
    return _grow(target.getvalue(), size_bytes)


def _image_sizes(size_bytes: int) -> list[int]:
    """Distribute the size that is left for images over pages, in whole rows of pixels."""
    left = size_bytes - FIXED_BYTES
    sizes = []
    while (pixels := min(left - BYTES_PER_IMAGE_PAGE, IMAGE_LARGEST_PIXELS) // IMAGE_WIDTH_PIXELS) > 0:
        sizes.append(pixels * IMAGE_WIDTH_PIXELS)
        left -= sizes[-1] + BYTES_PER_IMAGE_PAGE
    return sizes


def _draw_cover(pdf: Any, seed: str) -> None:  # noqa: ANN401 - reportlab is untyped
    pdf.setFont("Helvetica-Bold", 24)
    pdf.drawString(72, 700, "AI red teaming report")
    pdf.setFont("Helvetica", 12)
    pdf.drawString(72, 670, f"Simulated; report {seed}")
    pdf.showPage()


def _draw_findings(pdf: Any, random: Random) -> None:  # noqa: ANN401 - reportlab is untyped
    pdf.setFont("Helvetica-Bold", 16)
    pdf.drawString(72, 760, "Findings")
    pdf.setFont("Courier", 10)
    for row in range(30):
        text = f"{row + 1:>3}  {random.choice(SEVERITIES):<9} {random.choice(FINDINGS):<18} {random.uniform(0, 10):.1f}"
        pdf.drawString(72, 730 - 20 * row, text)
    pdf.showPage()


def _draw_evidence(pdf: Any, number: int, pixels: bytes) -> None:  # noqa: ANN401 - reportlab is untyped
    name = f"evidence{number}"
    image = pdfdoc.PDFImageXObject(name)
    image.width, image.height = IMAGE_WIDTH_PIXELS, len(pixels) // IMAGE_WIDTH_PIXELS
    image.bitsPerComponent, image.colorSpace = 8, "DeviceGray"
    image.streamContent, image._filters = pixels, ()  # noqa: SLF001 - drawImage() would deflate the noise
    pdf._doc.addForm(name, image)  # noqa: SLF001 - the same registration as drawImage() makes
    pdf.setFont("Helvetica-Bold", 16)
    pdf.drawString(72, 760, f"Evidence {number}")
    pdf.saveState()
    pdf.translate(72, 100)
    pdf.scale(450, 600)
    pdf.doForm(name)
    pdf.restoreState()
    pdf.showPage()


def _grow(report: bytes, size_bytes: int) -> bytes:
    """Insert a comment before the cross-reference table, where it moves no object, and correct the table's pointer."""
    head, tail = report[: (at := report.rindex(b"\nxref") + 1)], report[at:]
    missing = size_bytes - len(report)
    for length in range(missing, missing - 3, -1):  # the pointer may need one more digit
        moved = re.sub(rb"startxref\n\d+", b"startxref\n%d" % (len(head) + length), tail.replace(b"\r\n", b"\n"))
        grown = b"".join((head, b"%", b"." * (length - 2), b"\n", moved))
        if len(grown) == size_bytes:
            return grown
    raise ValueError(f"a report of {len(report)} bytes cannot be extended to {size_bytes}")
