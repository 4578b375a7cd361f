"""Every engine keeps the same promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import inference
from inference.local.engine import LocalEngine
from tests.conformance.engines import EngineConformance, ask, collect


class TestLocalEngine(EngineConformance):
    @pytest.fixture
    async def engine(self, tiny_model: Path) -> AsyncIterator[LocalEngine]:
        async with inference.open_engine(str(tiny_model), dtype="float32", step_tokens=32) as engine:
            yield engine
            await collect(engine.generate(ask("The last one")))  # what was cancelled before it is gone by now
            stats = engine.stats()
        assert (stats.waiting, stats.running, stats.held_blocks) == (0, 0, 0), "a request left blocks behind"
