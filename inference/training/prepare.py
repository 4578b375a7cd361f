"""From a corpus to token shards: learn the tokenizer, encode, split at turns what is longer than a row.

Knows nothing of training. Memory is that of a batch of documents and of the words that were met.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from inference.training.corpus import Document, Progress, files_of, read_corpus
from inference.training.recipe import CorpusRecipe, Recipe
from inference.training.shards import Index, ShardWriter, read_index
from inference.training.talks import edition
from inference.training.vocabulary import TOKENIZER, Vocabulary, learn

BATCH = 256  # documents encoded at a time


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a model is made."""

    folder: Path

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer"

    def shards(self, corpus: str) -> Path:
        return self.folder / "shards" / corpus

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def losses(self) -> Path:
        return self.folder / "losses.jsonl"

    @property
    def picture(self) -> Path:
        return self.folder / "loss.png"

    @property
    def model(self) -> Path:
        """The trained model as transformers loads it, in float32."""
        return self.folder / "model"


@dataclass(frozen=True, slots=True)
class Piece:
    """A document as it is trained on. `counted` is the loss mask, as long as the tokens."""

    tokens: list[int]
    counted: list[int]


def prepare(recipe: Recipe, data: Path, workshop: Workshop, progress: Progress) -> dict[str, Index]:
    """Make what isn't made yet: the tokenizer, then each corpus' shards. `data` is the folder of the files.
    Blocks. Raises CorpusError."""
    vocabulary = _tokenizer(recipe, data, workshop, progress)
    words = hashlib.sha256((workshop.tokenizer / TOKENIZER).read_bytes()).hexdigest()
    indexes = {}
    for name, corpus in recipe.corpora.items():
        seed = _seed(recipe, name)
        kind = corpus.model_dump(mode="json")
        made_of = _made_of(kind, seed, recipe.train.row, words, _sizes([corpus], data))
        folder = workshop.shards(name)
        index = read_index(folder)
        if index is None or index.made_of != made_of:
            writer = ShardWriter(folder, vocabulary=vocabulary.size, row=recipe.train.row, made_of=made_of)
            documents = read_corpus(corpus, data, progress, seed)
            index = write(documents, vocabulary, recipe.train.row, writer, folder)
        indexes[name] = index
    return indexes


def write(
    documents: Iterable[Document], vocabulary: Vocabulary, row: int, writer: ShardWriter, folder: Path
) -> Index:
    """Encode the documents into the writer's folder."""
    with writer:
        for batch in _batches(documents):
            for pieces, left_out in encode(batch, vocabulary, row):
                writer.left_out += left_out
                for piece in pieces:
                    writer.add(piece.tokens, piece.counted)
    index = read_index(folder)
    assert index is not None
    return index


def encode(
    documents: Sequence[Document], vocabulary: Vocabulary, row: int
) -> Iterator[tuple[list[Piece], int]]:
    """For each document its pieces of at most `row` tokens, and how many exchanges fit into none."""
    texts = [_contents(document) for document in documents]
    encoded = iter(vocabulary.encode(list(chain.from_iterable(texts))))
    for document, contents in zip(documents, texts, strict=True):
        tokens = [next(encoded) for _ in contents]
        if document.messages:
            yield _chat(document, tokens, vocabulary, row)
        else:
            yield _text(tokens[0], vocabulary, row), 0


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    documents = iter(documents)
    while batch := list(islice(documents, BATCH)):
        yield batch


def _contents(document: Document) -> list[str]:
    if document.messages:
        return [message.content.strip() for message in document.messages]
    return [document.text.strip()]


def _text(tokens: list[int], vocabulary: Vocabulary, row: int) -> list[Piece]:
    """The text cut where a row ends; only the last piece has the end of it."""
    framed = [*tokens, vocabulary.end]
    starts = range(0, len(framed), row - 1)
    pieces = [[vocabulary.bos, *framed[start : start + row - 1]] for start in starts]
    return [Piece(piece, [0] + [1] * (len(piece) - 1)) for piece in pieces]


def _chat(
    document: Document, contents: list[list[int]], vocabulary: Vocabulary, row: int
) -> tuple[list[Piece], int]:
    """The chat, split before a turn of the user's where it is longer than a row; the beginning (the system
    message) is repeated in each piece."""
    head = Piece([vocabulary.bos], [0])
    exchanges: list[Piece] = []
    previous = ""
    for message, content in zip(document.messages, contents, strict=True):
        answer = message.role == "assistant"
        tokens = [vocabulary.roles[message.role], *content, vocabulary.end]
        counted = [0] + [int(answer)] * (len(tokens) - 1)
        if message.role == "system":
            head = _joined(head, Piece(tokens, counted))
        elif exchanges and (answer or previous != "assistant"):
            exchanges[-1] = _joined(exchanges[-1], Piece(tokens, counted))
        else:
            exchanges.append(Piece(tokens, counted))
        previous = message.role
    return _packed(head, exchanges, row)


def _packed(head: Piece, exchanges: list[Piece], row: int) -> tuple[list[Piece], int]:
    """As many exchanges a piece as fit behind the head."""
    pieces: list[Piece] = []
    fresh = True
    left_out = 0
    for exchange in exchanges:
        if len(head.tokens) + len(exchange.tokens) > row:
            left_out += 1
            fresh = True
        elif fresh or len(pieces[-1].tokens) + len(exchange.tokens) > row:
            pieces.append(_joined(head, exchange))
            fresh = False
        else:
            pieces[-1] = _joined(pieces[-1], exchange)
    return pieces, left_out


def _joined(one: Piece, other: Piece) -> Piece:
    return Piece(one.tokens + other.tokens, one.counted + other.counted)


def _tokenizer(recipe: Recipe, data: Path, workshop: Workshop, progress: Progress) -> Vocabulary:
    """The workshop's tokenizer, learnt if it isn't there or was learnt from something else."""
    said = recipe.tokenizer
    corpora = {_seed(recipe, name): recipe.corpora[name] for name in said.corpora or recipe.corpora}
    kinds = [(seed, corpus.model_dump(mode="json")) for seed, corpus in corpora.items()]
    made_of = _made_of(said.vocabulary, kinds, _sizes(list(corpora.values()), data))
    mark = workshop.tokenizer / "made_of"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != made_of:
        documents = chain.from_iterable(
            read_corpus(corpus, data, progress, seed) for seed, corpus in corpora.items()
        )
        learn(documents, said.vocabulary).save(workshop.tokenizer, recipe.model.context)
        mark.write_text(made_of, encoding="utf-8")
    return Vocabulary.open(workshop.tokenizer)


def _seed(recipe: Recipe, corpus: str) -> str:
    return f"{recipe.seed} {corpus}"


def _sizes(corpora: list[CorpusRecipe], data: Path) -> list[tuple[str, int, int] | str]:
    """What tells a changed file from the one that was read, and changed talks from those that were told."""
    files = [file for corpus in corpora for file in files_of(corpus, data)]
    sizes = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    told = [edition()] if any(corpus.talks or corpus.swap_names or corpus.vary for corpus in corpora) else []
    return [*sizes, *told]


def _made_of(*what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
