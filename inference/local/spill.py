"""Blocks on disk: what a conversation computed yesterday need not be computed again today.

One safetensors file a block, named by the key that stands for the block's tokens and all before them and by a
digest of its topic, so that a topic's can be found, in a folder that is named by the model's fingerprint:
another model, or another way to store keys and values, never finds them. Files are read through a memory map.
Writing happens in a thread of its own; what it can't keep up with is not spilled, except at the end. The
longest unread files go when there are more than `limit` bytes.

Knows nothing of trees or sequences. Belongs to the model thread, but for the writing.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.local.row import Runner

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
MOST_PENDING = 64  # blocks that wait to be written; more are dropped


@dataclass(frozen=True, slots=True)
class _Pending:
    """A block that is to be written."""

    tensors: dict[str, Tensor]
    label: str


@dataclass(frozen=True, slots=True)
class _File:
    """A block on disk."""

    label: str
    size: int  # bytes


class BlockSpill:
    """`cache.Spill` over a folder. `spilled` and `restored` count blocks."""

    def __init__(self, folder: Path, runner: Runner, *, limit: int, fingerprint: str) -> None:
        self._runner = runner
        self._limit = limit  # bytes
        self._folder = folder / fingerprint
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._files: OrderedDict[bytes, _File] = OrderedDict()  # by key, the longest unread first
        self._bytes = 0
        self._pending: dict[bytes, _Pending] = {}
        self._lock = Lock()  # guards the three above: the writing thread changes them too
        self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spill")
        self.thorough = False  # wait for the disk rather than drop a block
        self.spilled = 0
        self.restored = 0
        self._take_stock()

    def has(self, key: bytes) -> bool:
        with self._lock:
            return key in self._files or key in self._pending

    def save(self, key: bytes, block: int, topic: str = "") -> None:
        with self._lock:
            busy = len(self._pending) >= MOST_PENDING
            if key in self._pending or (busy and not self.thorough):
                return
            pending = self._pending[key] = _Pending(self._runner.read_block(block), _label(topic))
        writing = self._writing.submit(self._write, key, pending)
        if busy:
            writing.result()

    def load(self, key: bytes, block: int) -> bool:
        with self._lock:
            pending, file = self._pending.get(key), self._files.get(key)
            if file is not None:
                self._files.move_to_end(key)
        try:
            if pending is not None:
                tensors = pending.tensors
            elif file is not None:
                path = self._path(key, file.label)
                tensors = load_file(path)
                os.utime(path)  # read just now
            else:
                return False
            self._runner.write_block(block, tensors)
        except (OSError, SafetensorError, ValueError) as error:
            log.info("a spilled block can't be read and is dropped: %s", error)
            self._drop(key)
            return False
        self.restored += 1
        return True

    def forget(self, topic: str) -> None:
        """See `cache.Spill`. Also what other models have spilled for the topic."""
        label = _label(topic)
        with self._lock:
            for key in [key for key, pending in self._pending.items() if pending.label == label]:
                del self._pending[key]
            for key in [key for key, file in self._files.items() if file.label == label]:
                self._bytes -= self._files.pop(key).size
        for path in self._folder.parent.glob(f"*/*-{label}{SUFFIX}"):
            path.unlink(missing_ok=True)

    def flush(self) -> None:
        """Wait until everything is written. Blocks."""
        self._writing.shutdown(wait=True)

    def _write(self, key: bytes, pending: _Pending) -> None:
        path = self._path(key, pending.label)
        unfinished = path.with_suffix(".part")
        try:
            save_file(pending.tensors, unfinished)
            unfinished.rename(path)  # whole or not at all, whenever the process dies
            size = path.stat().st_size
        except OSError as error:
            log.warning("a block could not be spilled: %s", error)
            with self._lock:
                self._pending.pop(key, None)
            return
        excess = []
        with self._lock:
            if self._pending.get(key) is pending:
                del self._pending[key]
                self._files[key] = _File(pending.label, size)
                self._bytes += size
                self.spilled += 1
            else:  # forgotten meanwhile
                excess.append(path)
            while self._bytes > self._limit and self._files:
                oldest, file = self._files.popitem(last=False)
                self._bytes -= file.size
                excess.append(self._path(oldest, file.label))
        for one in excess:
            one.unlink(missing_ok=True)

    def _drop(self, key: bytes) -> None:
        with self._lock:
            file = self._files.pop(key, None)
            if file is not None:
                self._bytes -= file.size
        if file is not None:
            self._path(key, file.label).unlink(missing_ok=True)

    def _take_stock(self) -> None:
        """What earlier runs left, the longest unread first. Other models' blocks share the limit: theirs go
        before this one's."""
        for path in self._folder.glob("*.part"):
            path.unlink(missing_ok=True)  # begun and never finished
        for _, size, path in _files_in([self._folder]):
            key, hyphen, label = path.stem.partition("-")
            if not hyphen:  # of a time when files did not tell their topic
                path.unlink(missing_ok=True)
                continue
            self._files[bytes.fromhex(key)] = _File(label, size)
            self._bytes += size
        others = [path for path in self._folder.parent.iterdir() if path.is_dir() and path != self._folder]
        left = _files_in(others)
        excess = self._bytes + sum(size for _, size, _ in left) - self._limit
        for _, size, path in left:
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size

    def _path(self, key: bytes, label: str) -> Path:
        return self._folder / f"{key.hex()}-{label}{SUFFIX}"


def _label(topic: str) -> str:
    """A topic's name in files."""
    return hashlib.blake2b(topic.encode(), digest_size=8).hexdigest()


def _files_in(folders: list[Path]) -> list[tuple[float, int, Path]]:
    """Spilled blocks as (time last read or written, bytes, path), oldest first."""
    found = []
    for folder in folders:
        for path in folder.glob(f"*{SUFFIX}"):
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    return sorted(found)
