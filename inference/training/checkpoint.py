"""Training's whole state in a file, so that a run that was killed goes on as if it hadn't been.

Knows nothing of what the state is made of.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from inference.training.errors import WorkshopError

ENDING = ".pt"
KEPT = 2


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of a step; whole on the disk before it has its name. The oldest go."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"step-{step:08}{ENDING}"
    draft = file.with_suffix(".part")
    with draft.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(file)
    for old in found(folder)[:-KEPT]:
        old.unlink()
    return file


def found(folder: Path) -> list[Path]:
    """The checkpoints, the newest last."""
    return sorted(folder.glob(f"step-*{ENDING}"))


def load(file: Path) -> dict[str, Any]:
    """Onto the CPU. Raises WorkshopError."""
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its parts raise
        raise WorkshopError(f"the checkpoint {file} can't be read ({error}); delete it and go on") from error
    return state


def discard(folder: Path) -> None:
    """Forget every checkpoint."""
    for file in found(folder):
        file.unlink()
