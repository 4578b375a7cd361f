"""From a model's name to the folder that holds it, downloaded first if need be. Knows nothing of what is in
it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from inference.embedded import EMBEDDED, FOLDER
from inference.errors import ModelNotFound

UNWANTED_FILES = ["consolidated*", "original/*"]  # some models' weights once more, in another format
WANTED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
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
    return download(name)


def held(hub_id: str) -> Path | None:
    """The folder of a model of the hub that is complete on this machine. Raises ModelNotFound for what can't
    be a hub id."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                hub_id, allow_patterns=WANTED_FILES, ignore_patterns=UNWANTED_FILES, local_files_only=True
            )
        )
    except HFValidationError as error:
        raise ModelNotFound(f"{hub_id!r} is neither a folder nor the hub id of a model") from error
    except LocalEntryNotFoundError:
        return None


def download(hub_id: str) -> Path:
    """Fetch a model of the hub, or what is missing of it, with the hub's progress bars on standard error. Blocks
    for minutes. Raises ModelNotFound; what has arrived by then is kept."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=WANTED_FILES, ignore_patterns=UNWANTED_FILES))
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"there is no folder and no public model on the hub called {hub_id!r}; check the spelling, or "
            "log in with `hf auth login` if it is a private or gated one"
        ) from error
    except OSError as error:  # the hub's own errors are such, too
        if error.errno == errno.ENOSPC:
            raise ModelNotFound(
                f"the disk is full, so {hub_id} can't be downloaded; make room and try again: what has "
                "arrived is kept"
            ) from error
        raise ModelNotFound(
            f"there is no folder called {hub_id!r}, and the model hub can't be reached to download it; "
            "check the spelling or the connection"
        ) from error
