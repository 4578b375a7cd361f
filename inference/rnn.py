"""The recurrent language model as a transformers model: embedding, RNN, LSTM or GRU, projection, and the
embedding again as the output (tied). Its cache is a state of fixed size, however long the text grows.

Importing this registers the family with transformers' Auto classes. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
State = tuple[Tensor, ...]
"""(layers, B, H) float: the hidden state and, of an LSTM, the cells."""


class RecurrentConfig(PretrainedConfig):  # type: ignore[misc]  # transformers' types are Any to us
    """`max_position_embeddings` limits nothing in the model: it is the length that it was made for."""

    model_type = "chorus-recurrent"

    vocab_size: int = 6144
    cell: str = "lstm"
    embedding_size: int = 256
    hidden_size: int = 256
    num_hidden_layers: int = 1
    max_position_embeddings: int = 512
    dropout: float = 0.0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2


@dataclass
class RecurrentOutput(ModelOutput):  # type: ignore[misc]  # as above
    """`logits`  # (B, T, V). `state` is given back as `state` to go on."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    state: State | None = None


class RecurrentForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]  # as above
    """Left or right padding may be masked; it leaves the state as it was."""

    config_class = RecurrentConfig
    base_model_prefix = "recurrent"
    _tied_weights_keys = {"lm_head.weight": "embedding.weight"}  # noqa: RUF012  as transformers declares it
    _is_stateful = True

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = CELLS[config.cell](
            config.embedding_size,
            config.hidden_size,
            config.num_hidden_layers,
            batch_first=True,
            dropout=config.dropout if config.num_hidden_layers > 1 else 0.0,
        )
        self.projection = nn.Linear(config.hidden_size, config.embedding_size)
        self.lm_head = nn.Linear(config.embedding_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        state: State | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> RecurrentOutput:
        """input_ids  # (B, T) int64; attention_mask  # (B, T), 0 where there is padding; labels  # (B, T),
        shifted here, -100 where there is no loss; `logits_to_keep`: of the last so many places, 0 for all."""
        embedded = self.dropout(self.embedding(input_ids))
        padded = attention_mask is not None and not bool(attention_mask.all())
        hidden, state = (
            self._run_masked(embedded, attention_mask, state) if padded else self._run(embedded, state)
        )
        logits = self.lm_head(self.dropout(self.projection(hidden[:, -logits_to_keep:])))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return RecurrentOutput(loss=loss, logits=logits, state=None if use_cache is False else state)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        state: State | None = None,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """transformers asks what to give to forward. With a state only the newest token is new."""
        if state is not None:
            input_ids, attention_mask = input_ids[:, -1:], None
        return {"input_ids": input_ids, "attention_mask": attention_mask, "state": state, "use_cache": True}

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """transformers asks whether keys and values are kept; there are none."""
        return False

    def _init_weights(self, module: nn.Module) -> None:
        """transformers asks for it. Matrices as in its other families, those of the cell as torch makes
        them."""
        match module:
            case nn.Linear() | nn.Embedding():
                nn.init.normal_(module.weight, std=self.config.initializer_range)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
            case nn.RNNBase():
                module.reset_parameters()

    def _run(self, embedded: Tensor, state: State | None) -> tuple[Tensor, State]:
        hidden, after = self.recurrent(embedded, _as_cell(state))
        return hidden, _as_state(after)

    def _run_masked(self, embedded: Tensor, mask: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        """What is padding is cut off, wherever it stands, and the hidden states of it are 0."""
        assert mask is not None
        length = embedded.shape[1]
        first = mask.argmax(dim=1, keepdim=True)
        places = torch.arange(length, device=mask.device)[None]
        own = embedded.gather(1, ((places + first) % length)[..., None].expand_as(embedded))
        packed = pack_padded_sequence(
            own, mask.sum(1).clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, after = self.recurrent(packed, _as_cell(state))
        hidden, _ = pad_packed_sequence(hidden, batch_first=True, total_length=length)
        back = ((places - first) % length)[..., None].expand(-1, -1, hidden.shape[-1])
        return hidden.gather(1, back), _as_state(after)


def _as_cell(state: State | None) -> Any:
    """As torch's cells take it: an LSTM a pair, others one tensor."""
    if state is None:
        return None
    return state[0] if len(state) == 1 else state


def _as_state(after: Any) -> State:
    return after if isinstance(after, tuple) else (after,)


AutoConfig.register(RecurrentConfig.model_type, RecurrentConfig)
AutoModelForCausalLM.register(RecurrentConfig, RecurrentForCausalLM)
