"""From a hub id to a folder on this machine. A download that was interrupted goes on where it stopped.

huggingface_hub begins a file anew, and weights are large. They are therefore fetched here, to where its cache
is documented to keep them, named by their content; all else is left to it. Knows nothing of what files hold.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from inference.errors import ModelNotFound

WEIGHTS = ["*.safetensors"]
WANTED_FILES = [*WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt"]
UNWANTED_FILES = ["consolidated*", "original/*"]  # some models' weights once more, in another format
PIECE = 1 << 20  # bytes
SILENCE = 30.0  # seconds until a connection that gives nothing is taken for broken
SHA256_DIGITS = 64

Report = Callable[[int, int], None]
"""Told how many bytes of the weights are here, and of how many."""


@dataclass(frozen=True, slots=True)
class _Weights:
    """A file of weights: its address, the name of its content, and its size in bytes."""

    url: str
    etag: str
    size: int


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


def download(hub_id: str, report: Report = lambda _done, _size: None) -> Path:
    """Fetch a model of the hub, or what is missing of it. Blocks for minutes. Raises ModelNotFound; what has
    arrived by then is kept."""
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # what is left after the weights is small
    try:
        _fetch_weights(hub_id, report)
        return Path(snapshot_download(hub_id, allow_patterns=WANTED_FILES, ignore_patterns=UNWANTED_FILES))
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"there is no folder and no public model on the hub called {hub_id!r}; check the spelling, or "
            "log in with `hf auth login` if it is a private or gated one"
        ) from error
    except BlockingIOError as error:
        raise ModelNotFound(f"{hub_id} is being downloaded already; wait for that") from error
    except (OSError, httpx2.HTTPError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ModelNotFound(
                f"the disk is full, so {hub_id} can't be downloaded; make room and try again: what has "
                "arrived is kept"
            ) from error
        raise ModelNotFound(
            f"the model hub can't be reached to download {hub_id}; check the connection and try again, or "
            "the spelling if you meant a folder"
        ) from error


def _fetch_weights(hub_id: str, report: Report) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    blobs = Path(HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}" / "blobs"
    files = list(_weights(hub_id))
    size, done = sum(one.size for one in files), 0
    for one in files:
        before = done

        def arrived(of_this: int, before: int = before) -> None:
            report(before + of_this, size)

        if not (blobs / one.etag).exists():
            _fetch(one, blobs / one.etag, arrived)
        done += one.size
        report(done, size)


def _weights(hub_id: str) -> Iterator[_Weights]:
    """What the hub says of the weights, less those that it doesn't name by their content."""
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import filter_repo_objects

    info = HfApi().model_info(hub_id)
    names = [one.rfilename for one in info.siblings or []]
    for name in filter_repo_objects(names, allow_patterns=WEIGHTS, ignore_patterns=UNWANTED_FILES):
        url = hf_hub_url(hub_id, name, revision=info.sha)
        metadata = get_hf_file_metadata(url)
        if metadata.etag is not None and metadata.size is not None and len(metadata.etag) == SHA256_DIGITS:
            yield _Weights(url, metadata.etag, metadata.size)


def _fetch(weights: _Weights, blob: Path, arrived: Callable[[int], None]) -> None:
    """One file. A connection that breaks is taken up again for as long as each gives something."""
    import httpx2

    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f"{blob.name}.part")
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        while (start := file.tell()) < weights.size:
            try:
                for piece in _pieces(weights.url, start):
                    if piece is None:
                        file.seek(0)
                        file.truncate()
                    else:
                        file.write(piece)
                    arrived(file.tell())
            except httpx2.TransportError:
                if file.tell() <= start:
                    raise
        file.flush()
        with part.open("rb") as written:
            sound = hashlib.file_digest(written, "sha256").hexdigest() == weights.etag
        if not sound:
            part.unlink()
            raise ModelNotFound(f"{weights.url} has arrived damaged and was thrown away; try again")
        part.replace(blob)


def _pieces(url: str, start: int) -> Iterator[bytes | None]:
    """What follows the first `start` bytes; None first where the server begins anew all the same."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with get_session().stream("GET", url, headers=headers, timeout=SILENCE) as response:
        hf_raise_for_status(response)
        if start and response.status_code != 206:  # Partial Content
            yield None
        yield from response.iter_bytes(PIECE)
