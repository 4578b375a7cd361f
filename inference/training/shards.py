"""Token ids of documents on the disk, memory-mapped: what is read of them is paged in and out by the system,
however large they are.

    index.json        what is here: type of the tokens, their number, the documents', the shards'
    tokens-0000.bin   uint16, or uint32 where the vocabulary is larger; documents one behind another
    loss-0000.bin     uint8, as long: 1 where the token is the assistant's to say, or a text's
    ends-0000.bin     int64: where in the shard each document ends

Knows nothing of text.
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from inference.training.errors import WorkshopError

INDEX = "index.json"
SHARD_TOKENS = 2**26
SMALL_VOCABULARY = 2**16


@dataclass(frozen=True, slots=True)
class Index:
    """What a folder of shards holds. `made_of` tells apart what it was made of; `left_out` are exchanges that
    fit into no row."""

    dtype: str
    row: int  # tokens of the longest document at most
    tokens: int
    counted: int  # tokens with a 1 in the loss mask
    documents: int
    left_out: int
    shards: tuple[int, ...]  # documents in each
    made_of: str


def read_index(folder: Path) -> Index | None:
    """None where there are no shards."""
    file = folder / INDEX
    if not file.is_file():
        return None
    said = json.loads(file.read_text(encoding="utf-8"))
    return Index(**{**said, "shards": tuple(said["shards"])})


class ShardWriter:
    """Writes shards, in a `with`. The folder is there whole or not at all."""

    def __init__(
        self, folder: Path, *, vocabulary: int, row: int, made_of: str, shard_tokens: int = SHARD_TOKENS
    ) -> None:
        self._folder = folder
        self._draft = folder.with_name(f"{folder.name}.part")
        self._dtype = np.dtype(np.uint16 if vocabulary <= SMALL_VOCABULARY else np.uint32)
        self._row = row
        self._made_of = made_of
        self._shard_tokens = shard_tokens
        self._files: list[IO[bytes]] = []
        self._shards: list[int] = []
        self._in_shard = 0  # tokens
        self._tokens = self._counted = 0
        self.left_out = 0

    def __enter__(self) -> Self:
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(parents=True)
        return self

    def add(self, tokens: Sequence[int], counted: Sequence[int]) -> None:
        """One document with its loss mask."""
        if not self._files or self._in_shard + len(tokens) > self._shard_tokens:
            self._begin()
        self._in_shard += len(tokens)
        self._tokens += len(tokens)
        self._counted += sum(counted)
        self._shards[-1] += 1
        contents = (
            np.asarray(tokens, self._dtype).tobytes(),
            np.asarray(counted, np.uint8).tobytes(),
            np.asarray([self._in_shard], np.int64).tobytes(),
        )
        for file, content in zip(self._files, contents, strict=True):
            file.write(content)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if kind is not None:
            shutil.rmtree(self._draft, ignore_errors=True)
            return
        index = Index(
            dtype=self._dtype.name,
            row=self._row,
            tokens=self._tokens,
            counted=self._counted,
            documents=sum(self._shards),
            left_out=self.left_out,
            shards=tuple(self._shards),
            made_of=self._made_of,
        )
        (self._draft / INDEX).write_text(json.dumps(asdict(index), indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._draft.rename(self._folder)

    def _begin(self) -> None:
        self._close()
        names = _names(len(self._shards))
        self._files = [(self._draft / name).open("wb") for name in names]
        self._shards.append(0)
        self._in_shard = 0

    def _close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []


class Shards:
    """Documents by their number. Holds open files and no tokens. Raises WorkshopError where there is none."""

    def __init__(self, folder: Path) -> None:
        index = read_index(folder)
        if index is None:
            raise WorkshopError(f"there are no shards in {folder}; `chorus model prepare` makes them")
        if not index.documents:
            raise WorkshopError(f"{folder} holds no document: look at the corpus' files and sources")
        self.index = index
        self._firsts = list(accumulate(index.shards, initial=0))
        self._maps = [_maps(folder, number, index.dtype) for number in range(len(index.shards))]

    def __len__(self) -> int:
        return self.index.documents

    def length(self, document: int) -> int:
        """Tokens."""
        _, first, end = self._place(document)
        return end - first

    def tokens(self, document: int) -> NDArray[Any]:
        """1D, of the index' type; a view of the file."""
        shard, first, end = self._place(document)
        return self._maps[shard][0][first:end]

    def counted(self, document: int) -> NDArray[Any]:
        """1D uint8, as long; a view of the file."""
        shard, first, end = self._place(document)
        return self._maps[shard][1][first:end]

    def _place(self, document: int) -> tuple[int, int, int]:
        """Its shard, where in it the document begins and where it ends."""
        shard = bisect_right(self._firsts, document) - 1
        within = document - self._firsts[shard]
        ends = self._maps[shard][2]
        return shard, int(ends[within - 1]) if within else 0, int(ends[within])


def _maps(folder: Path, number: int, dtype: str) -> list[NDArray[Any]]:
    try:
        return [
            np.memmap(folder / name, dtype=kind, mode="r")
            for name, kind in zip(_names(number), (dtype, "uint8", "int64"), strict=True)
        ]
    except (OSError, ValueError) as error:
        raise WorkshopError(
            f"the shards in {folder} are damaged ({error}); delete it and prepare anew"
        ) from error


def _names(number: int) -> tuple[str, str, str]:
    return f"tokens-{number:04}.bin", f"loss-{number:04}.bin", f"ends-{number:04}.bin"
