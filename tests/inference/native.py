"""The native step over a tiny model, as the tests of several files want it."""

from __future__ import annotations

import ctypes
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from inference.local.native import library as native
from inference.local.native.family import Family, family
from inference.local.native.packing import pack, weights_of
from inference.local.native.runner import NativeRunner


@cache
def library() -> ctypes.CDLL:
    """The library that was built with the project; without a compiler there is none, and nothing to test."""
    found = native.shipped()
    if found is None:
        pytest.skip("the native step is not built: there was no C compiler when Chorus was installed")
    return found


def shape_of(folder: Path) -> Family:
    return family(json.loads((folder / "config.json").read_text()))


def packed(folder: Path, precision: str) -> dict[str, Any]:
    with weights_of(sorted(folder.glob("*.safetensors"))) as (read, names):
        return dict(pack(shape_of(folder), read, names, precision))


def native_runner(folder: Path, *, precision: str, **options: Any) -> NativeRunner:
    """Not yet allocated."""
    return NativeRunner(
        library(), shape_of(folder), packed(folder, precision), precision=precision, **options
    )


def instruction_sets() -> list[str]:
    """What this machine can run, for parametrised tests; empty where nothing is built."""
    found = native.shipped()
    return [] if found is None else native.instruction_sets(found)
