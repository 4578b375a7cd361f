"""The text of a PDF file, page by page: a small program, run as a process of its own.

    python -m bot.pdftext PAGES CHARACTERS MEMORY_MIB SECONDS < file.pdf

PDF files come from anyone. Reading one may take any time and memory; a process can be given bounds for both,
and its end harms nobody. Writes JSON: {"pages": all there are, "read": pages read, "text": ...}, or
{"error": "encrypted" or "broken"}. Knows nothing of chats.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def text_of(pages: int, characters: int) -> dict[str, Any]:
    """What stands in the PDF on the standard input, as far as it may be read."""
    import io

    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(sys.stdin.buffer.read()))
    if reader.is_encrypted and not reader.decrypt(""):
        return {"error": "encrypted"}
    texts: list[str] = []
    length = 0
    for page in reader.pages[:pages]:
        text = page.extract_text().strip()
        texts.append(text)
        length += len(text)
        if length > characters:
            break
    return {"pages": len(reader.pages), "read": len(texts), "text": "\n\n".join(texts)[:characters]}


def _bound(memory_mib: int, seconds: int) -> None:
    """Bounds of the system's own, where it has them: who exceeds them is ended."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(pages: str, characters: str, memory_mib: str, seconds: str) -> None:
    logging.disable()  # pypdf remarks on every oddity of a file
    _bound(int(memory_mib), int(seconds))
    try:
        found = text_of(int(pages), int(characters))
    except Exception:  # whatever a broken or hostile file leads to
        found = {"error": "broken"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
