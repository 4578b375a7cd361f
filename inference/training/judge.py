"""A causal language model and its tokenizer, asked how likely it finds what was said.

Any model that transformers loads. Knows nothing of files or reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jinja2 import TemplateError
from numpy.typing import NDArray

from inference.errors import ModelNotFound
from inference.local.locate import locate
from inference.training.corpus import Document, Message
from inference.training.device import open_device

LOGITS_BYTES = 2**29  # of one batch at most, unless a single sequence needs more
UNKNOWN_CONTEXT = 1024
PLAIN = (  # for models that come without a template
    "{% for m in messages %}{{ m['role'].capitalize() + ': ' if m['role'] != 'system' }}"
    "{{ m['content'].strip() + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """Token ids, and which of them count: as many booleans, the first False."""

    tokens: list[int]
    counted: list[bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of each token of a sequence but the first: `nats`  # (T - 1,) float64, what it cost; `likeliest`
    # (T - 1,) bool, whether no other was likelier."""

    nats: NDArray[np.float64]
    likeliest: NDArray[np.bool_]


class Judge:
    """Raises ModelNotFound where there is no such model, WorkshopError where there is no such device.
    `dtype`: what torch calls it."""

    def __init__(
        self, name: str, *, device: str = "auto", dtype: str = "float32", window: int = 1024
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        import inference.rnn  # noqa: F401  registers the recurrent family with transformers

        logging.disable_progress_bar()
        folder = locate(name, lambda _: None)
        self._device = open_device(device)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ModelNotFound(f"the model {name} could not be loaded: {reason}") from error
        self.model = model.to(self._device).eval()
        if self.tokenizer.chat_template is None:
            self.tokenizer.chat_template = PLAIN
        config = model.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        self.window = min(window, getattr(config, "max_position_embeddings", None) or UNKNOWN_CONTEXT)
        self.parameters = sum(one.numel() for one in model.parameters())
        begins = self.tokenizer.bos_token_id
        self._begin: int | None = self.tokenizer.eos_token_id if begins is None else begins

    def read(self, document: Document) -> Iterator[TokenSequence]:
        """The document as the model is given it. Of a chat what the assistant says counts, the token that
        ends it included; of a text everything."""
        if document.messages:
            yield from self._chat(document.messages)
        else:
            tokens = self.encode(document.text)
            yield self._begun(tokens, [True] * len(tokens))

    def prompt(self, messages: Sequence[Message]) -> str:
        """What the assistant's next turn follows."""
        return self._render(messages, prompt=True)

    def encode(self, text: str) -> list[int]:
        """Without tokens of the tokenizer's own."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def ended(self, content: str) -> str:
        """A turn of the assistant's with the token that ends it."""
        return content.strip() + (self.tokenizer.eos_token or "")

    def judge(self, sequences: Sequence[TokenSequence], batch: int) -> list[Verdict]:
        """Of each sequence, computed so many at a time, those of like length together."""
        verdicts: dict[int, Verdict] = {}
        by_length = sorted(range(len(sequences)), key=lambda number: -len(sequences[number].tokens))
        while by_length:
            longest = min(self.window, len(sequences[by_length[0]].tokens))
            fitting = max(1, min(batch, LOGITS_BYTES // (4 * longest * self.vocabulary)))
            chosen, by_length = by_length[:fitting], by_length[fitting:]
            judged = self._together([sequences[number].tokens for number in chosen])
            verdicts.update(zip(chosen, judged, strict=True))
        return [verdicts[number] for number in range(len(sequences))]

    def _together(self, sequences: list[list[int]]) -> list[Verdict]:
        """Sequences that are longer than the window are read through it, half a window at a time."""
        parts: list[list[Verdict]] = [[] for _ in sequences]
        windows = [list(_windows(tokens, self.window)) for tokens in sequences]
        for turn in range(max(map(len, windows))):
            present = [number for number, own in enumerate(windows) if turn < len(own)]
            judged = self._forward([windows[number][turn][0] for number in present])
            for number, verdict in zip(present, judged, strict=True):
                first = windows[number][turn][1] - 1
                parts[number].append(Verdict(verdict.nats[first:], verdict.likeliest[first:]))
        return [_concatenated(own) for own in parts]

    @torch.no_grad()
    def _forward(self, sequences: list[list[int]]) -> list[Verdict]:
        """Padded on the right, where nothing that counts can see it."""
        longest = max(map(len, sequences))
        tokens = torch.zeros(len(sequences), longest, dtype=torch.int64)
        mask = torch.zeros_like(tokens)
        for row, sequence in enumerate(sequences):
            tokens[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        tokens = tokens.to(self._device)
        logits = self.model(input_ids=tokens, attention_mask=mask.to(self._device), use_cache=False).logits
        verdicts = []
        for row, sequence in enumerate(sequences):
            own, targets = logits[row, : len(sequence) - 1].float(), tokens[row, 1 : len(sequence)]
            nats = F.cross_entropy(own, targets, reduction="none")
            hits = own.argmax(-1) == targets
            verdicts.append(Verdict(nats.double().cpu().numpy(), hits.cpu().numpy()))
        return verdicts

    def _chat(self, messages: Sequence[Message]) -> Iterator[TokenSequence]:
        """One sequence, or several with a template that shows earlier turns otherwise than the last one."""
        tokens: list[int] = []
        counted: list[bool] = []
        said = ""
        for number, message in enumerate(messages):
            if message.role != "assistant":
                continue
            prompt = self.prompt(messages[:number])
            if not prompt.startswith(said):
                yield self._begun(tokens, counted)
                tokens, counted, said = [], [], ""
            asked, answered = prompt[len(said) :], self._answer(messages[: number + 1], prompt)
            for text, counts in ((asked, False), (answered, True)):
                more = self.encode(text)
                tokens += more
                counted += [counts] * len(more)
            said = prompt + answered
        if any(counted):
            yield self._begun(tokens, counted)

    def _answer(self, messages: Sequence[Message], prompt: str) -> str:
        """What the last message adds to the prompt, up to the token that ends it."""
        whole = self._render(messages, prompt=False)
        if not whole.startswith(prompt):
            return self.ended(messages[-1].content)
        end = self.tokenizer.eos_token
        added = whole[len(prompt) :]
        return added[: added.rindex(end) + len(end)] if end and end in added else added

    def _begun(self, tokens: list[int], counted: list[bool]) -> TokenSequence:
        """With a beginning that the first token can be judged by, where the model knows one."""
        if self._begin is not None and tokens[:1] != [self._begin]:
            return TokenSequence([self._begin, *tokens], [False, *counted])
        return TokenSequence(tokens, [False, *counted[1:]])

    def _render(self, messages: Sequence[Message], *, prompt: bool) -> str:
        said = [{"role": one.role, "content": one.content} for one in messages]
        try:
            return self._apply(said, prompt)
        except TemplateError:
            return self._apply(_without_system(said), prompt)

    def _apply(self, said: list[dict[str, str]], prompt: bool) -> str:
        return str(self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=prompt))


def _windows(tokens: list[int], window: int) -> Iterator[tuple[list[int], int]]:
    """Overlapping by half; with each the place in it from which on its tokens are new."""
    begin, judged = 0, 1
    while judged < len(tokens):
        end = min(len(tokens), begin + window)
        yield tokens[begin:end], judged - begin
        judged, begin = end, end - window // 2


def _concatenated(parts: list[Verdict]) -> Verdict:
    if not parts:
        return Verdict(np.zeros(0), np.zeros(0, np.bool_))
    nats = np.concatenate([part.nats for part in parts])
    return Verdict(nats, np.concatenate([part.likeliest for part in parts]))


def _without_system(said: list[dict[str, str]]) -> list[dict[str, str]]:
    """The system message becomes the beginning of what the user says first."""
    if len(said) < 2 or said[0]["role"] != "system":
        return said
    first = {**said[1], "content": f"{said[0]['content']}\n\n{said[1]['content']}"}
    return [first, *said[2:]]
