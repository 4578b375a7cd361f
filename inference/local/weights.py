"""What can be known of a model's weights without loading them: their size, and whose they are.

Knows nothing of torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SAMPLES = 64  # pieces of each file that go into the fingerprint: reading gigabytes would take seconds
SAMPLE_BYTES = 4096
OVERHEAD = 300 << 20  # bytes: the libraries, and what a step needs for itself


def weights_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, sharded or not."""
    return sorted(folder.glob("*.safetensors"))


def parameter_counts(files: Sequence[Path]) -> Iterator[int]:
    """How many values each tensor has, from the files' headers. Unreadable files give none: whoever loads
    them says what is wrong."""
    for file in files:
        for tensor in _header(file).values():
            yield math.prod(tensor["shape"])


def fingerprint(folder: Path, files: Sequence[Path], dtype: object) -> str:
    """A digest that differs between models: of the configuration, and of samples of the weights."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(str(dtype).encode())
    digest.update((folder / "config.json").read_bytes())
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as content:
            for number in range(SAMPLES):
                content.seek(number * size // SAMPLES)
                digest.update(content.read(SAMPLE_BYTES))
    return digest.hexdigest()


def available_memory() -> int | None:
    """Bytes that this machine can give a process now; None where the system doesn't tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _header(file: Path) -> dict[str, Any]:
    """A safetensors file begins with the header's length, 8 bytes little-endian, and the header as JSON."""
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            header: dict[str, Any] = json.loads(content.read(min(length, 100 << 20)))
    except (OSError, ValueError):
        return {}
    header.pop("__metadata__", None)
    return header
