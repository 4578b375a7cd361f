"""Random models of known shapes: fast or slow exactly like the real ones, and nothing to download.

Knows nothing of how they are measured.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

CONTEXT = 16384  # tokens; more than SmolLM2 has, so that long histories can be tried
SEED = 0

SHAPES: dict[str, dict[str, Any]] = {
    # SmolLM2-135M
    "smol": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
    },
    # Qwen3-0.6B
    "qwen": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 3072,
    },
}
COMMON = {
    "tie_word_embeddings": True,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def model_folder(shape: str) -> Path:
    """The folder of the model of a shape, built first if it isn't there yet: in a process of its own, so that
    the memory this takes is not counted as the engine's. Raises ValueError for an unknown shape."""
    if shape not in SHAPES:
        raise ValueError(f"{shape!r} is neither a shape ({', '.join(SHAPES)}) nor the folder of a model")
    folder = user_cache_path("chorus") / "bench" / shape
    if not folder.is_dir():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(build, folder, SHAPES[shape]).result()
    return folder


def build(folder: Path, settings: dict[str, Any]) -> None:
    """Write a model with random bfloat16 weights, always the same ones, and a tokenizer that knows bytes:
    engines want one though token ids go in and out. Takes seconds and several times the model's size in
    memory. A folder is there whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.utils import logging

    logging.disable_progress_bar()
    settings = {**COMMON, **settings}
    config = CONFIG_MAPPING[settings.pop("model_type")](**settings, dtype=torch.bfloat16)
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(torch.bfloat16)
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft)
    _tokenizer().save_pretrained(draft)
    draft.rename(folder)


def vocabulary(folder: Path) -> int:
    """The number of token ids of the model in the folder."""
    return int(_config(folder)["vocab_size"])


def cached_values(folder: Path) -> int:
    """How many values the KV cache of the model in the folder holds for each token."""
    config = _config(folder)
    heads = config.get("num_attention_heads") or config["n_head"]
    head_dim = config.get("head_dim") or (config.get("hidden_size") or config["n_embd"]) // heads
    kv_heads = config.get("num_key_value_heads") or heads
    layers = config.get("num_hidden_layers") or config["n_layer"]
    padded = -(-head_dim // 32) * 32  # as the native step keeps them
    return int(2 * layers * kv_heads * padded)


def _config(folder: Path) -> dict[str, Any]:
    """Read as it stands: transformers would take a hundred MiB that are then counted as the engine's."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {**config, **config.get("text_config", {})}


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    bytes_only = Tokenizer(
        models.BPE({token: i for i, token in enumerate([*specials.values(), *alphabet])}, [])
    )
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bytes_only, **specials)
