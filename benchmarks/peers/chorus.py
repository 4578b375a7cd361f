"""Our own engine, run just as its peers are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers import run
from inference.bench.ours import OurEngine, open_ours
from inference.bench.work import Work


@asynccontextmanager
async def open_server(folder: Path, precision: str, work: Work) -> AsyncIterator[OurEngine]:
    async with open_ours(folder, work, precision) as server:
        yield server


if __name__ == "__main__":
    run(open_server)
