"""From a model's name to the folder that holds it, downloaded first if need be. Knows nothing of what is in
it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inference.embedded import EMBEDDED, FOLDER
from inference.errors import ModelNotFound

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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=WANTED_FILES, local_files_only=True))
    except HFValidationError as error:
        raise ModelNotFound(f"{name!r} is neither a folder nor the hub id of a model") from error
    except LocalEntryNotFoundError:
        pass
    progress(f"downloading {name}")
    try:
        return Path(snapshot_download(name, allow_patterns=WANTED_FILES))
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"there is no folder and no public model on the hub called {name!r}; check the spelling, or "
            "log in with `hf auth login` if it is a private or gated one"
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFound(
            f"there is no folder called {name!r}, and the model hub can't be reached to download it; "
            "check the spelling or the connection"
        ) from error
