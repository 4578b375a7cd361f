"""From a model's name to the folder that holds it, downloaded first if need be. Knows nothing of what is in
it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inference.embedded import EMBEDDED, FOLDER
from inference.errors import ModelNotFound
from inference.local.download import download, held

Progress = Callable[[str], None]
"""Told what is being done while a model opens, in a few words."""


def locate(name: str, progress: Progress) -> Path:
    """The folder of `embedded`, of a local folder's name, or of a hub id; blocks for minutes while it
    downloads. Raises ModelNotFound."""
    if name == EMBEDDED:
        return FOLDER
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelNotFound(f"the folder {folder} holds no model: there is no config.json in it")
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelNotFound(f"there is no folder {folder}")
    if (here := held(name)) is not None:
        return here
    progress(f"downloading {name}")
    return download(name, lambda done, size: progress(f"downloading {name}: {100 * done // size} %"))
