"""Other servers doing the same work as our engine, each a program of its own in an environment of its own:

    python -m benchmarks.peers.NAME MODEL_FOLDER PRECISION WORK

WORK is a JSON object of the fields of `inference.bench.work.Work`. Prints what `chorus bench --json` does.
The work and the clock are ours, so a peer's module holds only what starts it and what reads its answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from inference.bench.measure import Report, Server, measure, report_json
from inference.bench.work import Work

Opener = Callable[[Path, str, Work], AbstractAsyncContextManager[Server]]
"""Opens a server of the model in the folder, in the precision, ready for the work."""


def run(opener: Opener) -> None:
    """A peer's main program."""
    folder, precision, work = Path(sys.argv[1]), sys.argv[2], Work(**json.loads(sys.argv[3]))
    report = asyncio.run(_measure(opener, folder, precision, work))
    print(report_json(folder.name, precision, work, report))


async def _measure(opener: Opener, folder: Path, precision: str, work: Work) -> Report:
    async with opener(folder, precision, work) as server:
        return await measure(work, server)
