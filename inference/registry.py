"""From a model's name to an engine. Imports torch only when a local model is really opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.embedded import EMBEDDED

if TYPE_CHECKING:
    from inference.local.engine import LocalEngine


def open_engine(name: str = EMBEDDED, **options: Any) -> LocalEngine:
    """The engine for a model: `embedded`, a folder, or the hub id of a causal model; open with `async with`.

    `options` are those of `inference.local.engine.LocalOptions`. The model is loaded on entering the context;
    ModelNotFound is raised there when that fails.
    """
    from inference.local.engine import LocalEngine, LocalOptions

    return LocalEngine(name, LocalOptions(**options))
