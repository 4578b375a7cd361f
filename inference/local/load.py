"""From a model's name to weights, tokenizer and template in memory. Knows nothing of requests."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from inference.embedded import EMBEDDED, FOLDER
from inference.errors import ModelNotFound
from inference.local.sequence import Decoding
from inference.local.template import ChatTemplate
from inference.local.weights import (
    OVERHEAD,
    available_memory,
    fingerprint,
    parameter_counts,
    weights_files,
)

log = logging.getLogger(__name__)

WANTED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
SMALL_PARAMETERS = 100_000_000  # below, f32 costs little memory and is the quicker on most processors
Progress = Callable[[str], None]
"""Told what is being done while a model opens, in a few words."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """All that serving a model needs."""

    name: str
    model: Any  # a transformers causal language model, in eval mode on its device
    tokenizer: Any
    template: ChatTemplate
    context_length: int
    stop_tokens: frozenset[int]
    decoding: Decoding  # the model's own defaults
    fingerprint: str  # of its configuration, weights and dtype

    def decode(self, tokens: list[int]) -> str:
        """Text of token ids, special tokens left out."""
        text: str = self.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def load_model(
    name: str,
    *,
    dtype: str,
    device: str,
    room: int = 0,
    progress: Progress = lambda _: None,
) -> LoadedModel:
    """Load `embedded`, a local folder, or a hub id. Blocks for seconds or, when it downloads, minutes.

    `dtype` is auto, float32, bfloat16 or float16; `device` auto or what torch calls it. Raises ModelNotFound,
    also for a model that, with `room` bytes beside its weights, would not fit into memory.
    """
    folder = _resolve(name, progress)
    files = weights_files(folder)
    where = _device(device)
    kind = _dtype(dtype, where, sum(parameter_counts(files)))
    _check_memory(name, sum(parameter_counts(files)) * kind.itemsize, room, where)
    progress(f"loading {name}")
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind)
        generation = _generation_config(GenerationConfig, folder, model)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelNotFound(f"the model {name} could not be loaded: {reason}") from error
    return LoadedModel(
        name=name,
        model=model.to(where).eval(),
        tokenizer=tokenizer,
        template=ChatTemplate(tokenizer),
        context_length=_context_length(model.config, tokenizer),
        stop_tokens=_stop_tokens(generation, tokenizer),
        decoding=_decoding(generation),
        fingerprint=fingerprint(folder, files, kind),
    )


def _resolve(name: str, progress: Progress) -> Path:
    """The folder that holds the model, downloaded first if it is a hub id that isn't here yet."""
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


def _generation_config(kind: Any, folder: Path, model: Any) -> Any:
    if (folder / "generation_config.json").is_file():
        return kind.from_pretrained(folder)
    return model.generation_config


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelNotFound(f"the device {wanted!r} can't be used here: choose cpu or auto") from error
    return device


def _check_memory(name: str, weights: int, room: int, device: torch.device) -> None:
    """Refuse a model that can't fit, before loading it takes the machine down. Sizes in bytes."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()
    needed = weights + room + OVERHEAD
    if free is not None and needed > free:
        raise ModelNotFound(
            f"{name} does not fit: it needs {_gib(needed)} ({_gib(weights)} of weights, {_gib(room)} of "
            f"cache and {_gib(OVERHEAD)} besides), and {_gib(free)} are free; choose a smaller model, "
            "CHORUS_MODEL__DTYPE=bfloat16, or a smaller CHORUS_MODEL__CACHE_MB"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _dtype(wanted: str, device: torch.device, parameters: int) -> torch.dtype:
    if wanted != "auto":
        if wanted not in DTYPES:
            raise ModelNotFound(f"the dtype {wanted!r} is unknown: choose one of auto, {', '.join(DTYPES)}")
        return DTYPES[wanted]
    if device.type != "cpu":
        return torch.bfloat16
    quick = torch.cpu._is_avx512_bf16_supported()  # torch has no public name for it
    return torch.bfloat16 if quick and parameters > SMALL_PARAMETERS else torch.float32


def _context_length(config: Any, tokenizer: Any) -> int:
    text = config.get_text_config()
    limits = [getattr(text, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    known = [int(limit) for limit in limits if limit and limit < 10**9]  # tokenizers say 10**30 for "unknown"
    return min(known, default=2048)


def _stop_tokens(generation: Any, tokenizer: Any) -> frozenset[int]:
    stop = generation.eos_token_id
    ids = stop if isinstance(stop, list) else [stop]
    return frozenset(int(one) for one in [*ids, tokenizer.eos_token_id] if one is not None)


def _decoding(generation: Any) -> Decoding:
    """The model's own sampling; transformers leaves None what a model's makers did not set."""
    sampled = bool(generation.do_sample)
    temperature = generation.temperature if generation.temperature is not None else 1.0
    return Decoding(
        temperature=float(temperature) if sampled else 0.0,
        top_p=float(generation.top_p) if generation.top_p is not None else 1.0,
        top_k=int(generation.top_k) if generation.top_k is not None else 0,
        repetition_penalty=float(generation.repetition_penalty or 1.0),
    )
