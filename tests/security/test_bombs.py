"""Files that are small until they are opened: no more memory or time than the bounds, and a kind sentence."""

from __future__ import annotations

import io
import resource
import zipfile
import zlib

import pytest

from bot import attachments
from tests.bot.test_attachments import file, read

MIB = 1 << 20
CHILD = attachments.PDF_MEMORY_MIB * MIB  # bytes that the process which reads PDF files may have


def zeros(mebibytes: int) -> bytes:
    """So much of nothing, compressed. The same block again and again, since making it takes time."""
    packer = zlib.compressobj(9)
    head = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (mebibytes - 2) + packer.compress(b" " * MIB) + packer.flush()


def pdf(stream: bytes, filters: str, *, pages: int = 1) -> bytes:
    """A PDF of one page, named so often, whose content is packed by `filters`."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b"3 0 R " * pages, pages),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << >> /Contents 4 0 R >>",
        f"<< /Filter {filters} /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream",
    ]
    written = b"%PDF-1.7\n"
    offsets = []
    for number, one in enumerate(objects, start=1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%b\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return written + (
        b"xref\n0 5\n0000000000 65535 f \n%btrailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (table, len(written))
    )


def xref_bomb() -> bytes:
    """A PDF whose very table of contents is the bomb."""
    packed = zlib.compress(zeros(2048), 9)
    head = b"%PDF-1.7\n"
    table = (
        b"1 0 obj\n<< /Type /XRef /Size 100000000 /W [1 4 2] /Root 1 0 R /Filter [/FlateDecode /FlateDecode] "
        b"/Length %d >>\nstream\n%b\nendstream\nendobj\n" % (len(packed), packed)
    )
    return head + table + b"startxref\n%d\n%%%%EOF" % len(head)


def archive() -> bytes:
    """A ZIP of much nothing, as office documents are ZIPs."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as inside,
        inside.open("word/document.xml", "w", force_zip64=True) as entry,
    ):
        for _ in range(64):
            entry.write(b"\0" * MIB)
    return packed.getvalue()


BOMBS = {
    "four gigabytes": lambda: pdf(zeros(4096), "/FlateDecode"),
    "packed twice": lambda: pdf(zlib.compress(zeros(4096), 9), "[/FlateDecode /FlateDecode]"),
    "packed thrice": lambda: pdf(
        zlib.compress(zlib.compress(zeros(4096), 9), 9), "[/FlateDecode /FlateDecode /FlateDecode]"
    ),
    "run lengths": lambda: pdf(
        zlib.compress(b"\x81 " * (300 * MIB // 128), 9), "[/FlateDecode /RunLengthDecode]"
    ),
    "the table of contents": xref_bomb,
    "a million pages": lambda: pdf(b"BT ET", "[]", pages=1_000_000),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_pdf_that_bursts_takes_no_more_than_its_bounds(name: str) -> None:
    bomb = BOMBS[name]()
    assert len(bomb) < attachments.MOST_BYTES, "it would not even be fetched"
    before = largest_child()
    reading = await read(file("bomb.pdf", bomb, "application/pdf"))
    assert reading.text == ""
    [remark] = reading.remarks
    assert remark.startswith(("I can't read bomb.pdf: ", "bomb.pdf holds no text"))
    assert largest_child() <= max(before, CHILD)


def largest_child() -> int:
    """The most memory that any ended process of this one has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


@pytest.mark.parametrize("media_type", ["application/zip", "text/plain", "application/pdf"])
async def test_an_archive_is_not_opened_whatever_it_says_it_is(media_type: str) -> None:
    reading = await read(file("report.docx", archive(), media_type))
    assert reading.text == ""
    assert reading.remarks == ("I can't read report.docx: it is neither text nor PDF.",)
