"""The thread of a real model dies or runs out of memory: all others are answered, its killer is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import inference
from bot.store.models import InboxRow, InboxState
from inference.local import engine as local
from inference.local.load import LoadedModel, LoadOptions
from inference.local.row import Row
from tests import models
from tests.bot.conftest import Chorus
from tests.fakes.telegram import FakeTelegram

POISON = "☠"


class Mortal:
    """A runner that fails as `death` says at a step that reads the poison."""

    def __init__(self, runner: Any, poison: Sequence[int], death: Exception) -> None:
        self._runner = runner
        self._poison = list(poison)
        self._death = death
        self.deaths = 0

    def step(self, rows: Sequence[Row]) -> Tensor:
        if any(self._reads_poison(list(row.tokens)) for row in rows):
            self.deaths += 1
            raise self._death
        logits: Tensor = self._runner.step(rows)
        return logits

    def _reads_poison(self, tokens: list[int]) -> bool:
        length = len(self._poison)
        return any(tokens[at : at + length] == self._poison for at in range(len(tokens)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


@pytest.mark.parametrize(
    "death",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes"),
        OSError("something else entirely"),
    ],
    ids=["no memory", "no memory for a tensor", "anything"],
)
async def test_a_model_thread_that_dies_is_started_anew_and_its_killer_is_set_aside(
    death: Exception,
    chorus: Chorus,
    telegram: FakeTelegram,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = models.build(tmp_path / "model", max_position_embeddings=2048)
    load = local.load_model
    mortal: list[Mortal] = []

    def load_mortal(name: str, options: LoadOptions) -> LoadedModel:
        loaded = load(name, options)
        poison = models.tokenizer()(POISON, add_special_tokens=False)["input_ids"]
        mortal.append(Mortal(loaded.runner, poison, death))
        return replace(loaded, runner=mortal[0])

    monkeypatch.setattr(local, "load_model", load_mortal)
    people = [telegram.person(name) for name in ("Alice", "Bob", "Carol")]
    rooms = [telegram.direct(person) for person in people]
    chorus.engine = inference.open_engine(str(folder), dtype="float32")  # type: ignore[assignment]
    async with chorus.serving(telegram, model={"max_tokens": 24}):
        poison = await rooms[0].says(people[0], f"Drink {POISON} this")
        others = [
            (room, await room.says(who, "Hello")) for room, who in zip(rooms[1:], people[1:], strict=True)
        ]
        assert "not available" in (await rooms[0].answer(to=poison)).text
        for room, question in others:
            assert "not available" not in (await room.answer(to=question)).text
        answer = await rooms[0].answer(to=await rooms[0].says(people[0], "Something else"))
        assert "not available" not in answer.text
    assert 2 <= mortal[0].deaths <= 3
    assert all(len(room.visible) == 2 for room in rooms[1:])
    assert await chorus.count(InboxRow.state == InboxState.ASIDE) == 1
    assert await chorus.count(InboxRow.state == InboxState.DONE) == 3
    assert "is started anew" in caplog.text
