"""Chorus as its users run it: a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TIMEOUT = 60  # seconds for anything that a process does


@dataclass(frozen=True, slots=True)
class Result:
    """How a process ended, and what it wrote."""

    code: int | None
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class CommandLine:
    """Runs `chorus` in a folder and environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "data" / "chorus" / "chorus.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHORUS_")}
        self.environment = {
            **kept,
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "COLUMNS": "100",
        }
        self.folder.mkdir(parents=True, exist_ok=True)

    async def start(self, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *arguments,
            cwd=self.folder,
            env=self._with(settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str, stdin: str = "", **settings: str) -> Result:
        """Run it to its end."""
        process = await self.start(*arguments, **settings)
        return await finish(process, stdin)

    @asynccontextmanager
    async def serving(self, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`chorus run`, ended by SIGTERM; it ends by itself with exit code 0 then."""
        process = await self.start("run", **settings)
        try:
            yield process
        except BaseException:
            process.kill()
            result = await finish(process)
            sys.stderr.write(result.err)
            raise
        process.send_signal(signal.SIGTERM)
        result = await finish(process)
        assert result.code == 0, result.err
        assert "Traceback" not in result.err

    def _with(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {**self.environment, **{f"CHORUS_{name}": value for name, value in settings.items()}}


async def finish(process: asyncio.subprocess.Process, stdin: str = "") -> Result:
    async with asyncio.timeout(TIMEOUT):
        out, err = await process.communicate(stdin.encode())
    return Result(process.returncode, out.decode(), err.decode())


@pytest.fixture
def chorus(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "somewhere")
