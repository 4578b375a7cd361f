"""Blocks on disk: what a conversation computed yesterday need not be computed again today.

One safetensors file a block, named by the key that stands for the block's tokens and all before them, in a
folder that is named by the model's fingerprint: another model, or another way to store keys and values, never
finds them. Files are read through a memory map. Writing happens in a thread of its own; what it can't keep up
with is not spilled, except at the end. The longest unread files go when there are more than `limit` bytes.

Knows nothing of trees or sequences. Belongs to the model thread, but for the writing.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.local.row import Runner

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
MOST_PENDING = 64  # blocks that wait to be written; more are dropped


class BlockSpill:
    """`cache.Spill` over a folder. `spilled` and `restored` count blocks."""

    def __init__(self, folder: Path, runner: Runner, *, limit: int, fingerprint: str) -> None:
        self._runner = runner
        self._limit = limit  # bytes
        self._folder = folder / fingerprint
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._files: OrderedDict[bytes, int] = OrderedDict()  # key -> bytes, the longest unread first
        self._bytes = 0
        self._pending: dict[bytes, dict[str, Tensor]] = {}
        self._lock = Lock()  # guards the three above: the writing thread changes them too
        self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spill")
        self.thorough = False  # wait for the disk rather than drop a block
        self.spilled = 0
        self.restored = 0
        self._take_stock()

    def has(self, key: bytes) -> bool:
        with self._lock:
            return key in self._files or key in self._pending

    def save(self, key: bytes, block: int) -> None:
        with self._lock:
            busy = len(self._pending) >= MOST_PENDING
            if key in self._pending or (busy and not self.thorough):
                return
            tensors = self._pending[key] = self._runner.read_block(block)
        writing = self._writing.submit(self._write, key, tensors)
        if busy:
            writing.result()

    def load(self, key: bytes, block: int) -> bool:
        with self._lock:
            tensors = self._pending.get(key)
            if key in self._files:
                self._files.move_to_end(key)
        try:
            if tensors is None:
                tensors = load_file(self._path(key))
                os.utime(self._path(key))  # read just now
            self._runner.write_block(block, tensors)
        except (OSError, SafetensorError, ValueError) as error:
            log.info("a spilled block can't be read and is dropped: %s", error)
            self._drop(key)
            return False
        self.restored += 1
        return True

    def flush(self) -> None:
        """Wait until everything is written. Blocks."""
        self._writing.shutdown(wait=True)

    def _write(self, key: bytes, tensors: dict[str, Tensor]) -> None:
        path = self._path(key)
        unfinished = path.with_suffix(".part")
        try:
            save_file(tensors, unfinished)
            unfinished.rename(path)  # whole or not at all, whenever the process dies
            size = path.stat().st_size
        except OSError as error:
            log.warning("a block could not be spilled: %s", error)
            with self._lock:
                self._pending.pop(key, None)
            return
        with self._lock:
            self._pending.pop(key, None)
            self._files[key] = size
            self._bytes += size
            self.spilled += 1
            excess = []
            while self._bytes > self._limit and self._files:
                oldest, freed = self._files.popitem(last=False)
                self._bytes -= freed
                excess.append(oldest)
        for oldest in excess:
            self._path(oldest).unlink(missing_ok=True)

    def _drop(self, key: bytes) -> None:
        with self._lock:
            self._bytes -= self._files.pop(key, 0)
        self._path(key).unlink(missing_ok=True)

    def _take_stock(self) -> None:
        """What earlier runs left, the longest unread first. Other models' blocks share the limit: theirs go
        before this one's."""
        for path in self._folder.glob("*.part"):
            path.unlink(missing_ok=True)  # begun and never finished
        for _, size, path in _files_in([self._folder]):
            self._files[bytes.fromhex(path.stem)] = size
            self._bytes += size
        others = [path for path in self._folder.parent.iterdir() if path.is_dir() and path != self._folder]
        left = _files_in(others)
        excess = self._bytes + sum(size for _, size, _ in left) - self._limit
        for _, size, path in left:
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{key.hex()}{SUFFIX}"


def _files_in(folders: list[Path]) -> list[tuple[float, int, Path]]:
    """Spilled blocks as (time last read or written, bytes, path), oldest first."""
    found = []
    for folder in folders:
        for path in folder.glob(f"*{SUFFIX}"):
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    return sorted(found)
