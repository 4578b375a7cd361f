"""The tokenizer: a byte-level BPE that is learnt from the corpus, with the special tokens of a chat.

Digits stand alone, so that sums can be learnt. A chat is
`<|bos|><|system|>...<|end|><|user|>...<|end|><|assistant|>...<|end|>`, a text `<|bos|>...<|end|>`.
Knows nothing of files but its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from inference.training.corpus import ROLES, Document
from inference.training.errors import WorkshopError

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
SPECIAL = (PAD, BOS, END, *(f"<|{role}|>" for role in ROLES))
TOKENIZER, TOKENIZER_CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
CHAT_TEMPLATE = (
    "{{ '<|bos|>' }}{% for m in messages %}"
    "{{ '<|' + m['role'] + '|>' + m['content'].strip() + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


class Vocabulary:
    """Texts to token ids, with the ids that documents are framed by."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # what people write is never taken for one
        self.size: int = tokenizer.get_vocab_size()
        self.pad, self.bos, self.end = (SPECIAL.index(name) for name in (PAD, BOS, END))
        self.roles = {role: SPECIAL.index(f"<|{role}|>") for role in ROLES}

    @classmethod
    def open(cls, folder: Path) -> Vocabulary:
        """Raises WorkshopError."""
        file = folder / TOKENIZER
        if not file.is_file():
            raise WorkshopError(f"there is no tokenizer in {folder}; `chorus model prepare` makes it")
        return cls(Tokenizer.from_file(str(file)))

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text. What looks like a special token in it is text like any other."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)]

    def save(self, folder: Path, context: int) -> None:
        """Write the three files of a tokenizer that transformers and the engine read. `context`: tokens."""
        folder.mkdir(parents=True, exist_ok=True)
        self._tokenizer.save(str(folder / TOKENIZER))
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": END,
            "pad_token": PAD,
            "padding_side": "left",
            "model_max_length": context,
            "clean_up_tokenization_spaces": False,
        }
        (folder / TOKENIZER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (folder / TEMPLATE).write_text(CHAT_TEMPLATE, encoding="utf-8")


def learn(documents: Iterable[Document], size: int) -> Vocabulary:
    """A vocabulary of at most `size` tokens. What is kept of the documents is how often each word occurs."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(documents), trainer)
    return Vocabulary(bpe)


def _texts(documents: Iterable[Document]) -> Iterator[str]:
    for document in documents:
        if document.text:
            yield document.text
        for message in document.messages:
            yield message.content.strip()
