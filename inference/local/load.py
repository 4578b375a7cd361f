"""From a model's name to something that answers: the step over its weights, its tokenizer, its template.

Models of the Llama family run on the native step where it can be had, every other one, and every GPU, on
torch; recurrent ones on a step of their own. Knows nothing of requests.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from inference.errors import ModelNotFound
from inference.local.locate import Progress, locate
from inference.local.native import library as native
from inference.local.native.family import Family, NotInFamily, family
from inference.local.native.packing import PRECISIONS, keep, kept, pack, weights_of
from inference.local.native.runner import NativeRunner
from inference.local.row import Runner
from inference.local.sequence import Decoding
from inference.local.template import ChatTemplate
from inference.local.tokenizer import Tokenizer, open_tokenizer
from inference.local.weights import (
    OVERHEAD,
    available_memory,
    fingerprint,
    parameter_counts,
    weights_files,
)

log = logging.getLogger(__name__)

SMALL_PARAMETERS = (
    100_000_000  # below, weights cost so little to read that nothing is gained by rounding them
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
UNKNOWN_CONTEXT = 2048  # tokens, for models that don't say
RECURRENT = "chorus-recurrent"  # rnn.RecurrentConfig.model_type
UNBOUNDED = 1 << 20  # tokens: recurrent models have no window, but an answer has to end


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What is wanted of a model. `dtype`: auto, float32, bfloat16, float16 or int8. `device`: auto, or what
    torch calls it. `cache_dtype`: of keys and values on the native step, bfloat16 or int8. `room`: bytes that
    have to be free beside the weights. `native`: whether the native step may be used. `packed_folder`: where
    large models' packed weights are kept; None packs them anew each time."""

    dtype: str = "auto"
    device: str = "auto"
    cache_dtype: str = "bfloat16"
    room: int = 0
    invariant: bool = False
    native: bool = True
    threads: int | None = None
    packed_folder: Path | None = None
    progress: Progress = lambda _: None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """All that serving a model needs."""

    name: str
    runner: Runner
    tokenizer: Tokenizer
    template: ChatTemplate
    context_length: int
    stop_tokens: frozenset[int]
    decoding: Decoding  # the model's own defaults
    recurrent: bool  # whether a block of its cache is a state, rather than tokens' keys and values
    fingerprint: str  # of its configuration, its weights, and how the cache keeps what they give
    computed: str  # how: "int8 on amx", "float32 on torch, cpu"


def load_model(name: str, options: LoadOptions) -> LoadedModel:
    """Load `embedded`, a local folder, or a hub id. Blocks for seconds or, when it downloads, minutes.

    Raises ModelNotFound, also for a model that would not fit into memory.
    """
    folder = locate(name, options.progress)
    device = _device(options.device)
    files = weights_files(folder)
    config = _json(folder / "config.json")
    options.progress(f"loading {name}")
    tokenizer = open_tokenizer(folder)
    try:
        step = (
            _recurrent(name, config, folder, files, device, options)
            or _native(name, config, files, device, options)
            or _torch(name, folder, files, device, options)
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelNotFound(f"the model {name} could not be loaded: {reason}") from error
    generation = _json(folder / "generation_config.json") or config
    context = step.context or UNKNOWN_CONTEXT
    return LoadedModel(
        name=name,
        runner=step.runner,
        tokenizer=tokenizer,
        template=ChatTemplate(tokenizer),
        context_length=context if step.recurrent else min(context, tokenizer.max_length or context),
        stop_tokens=_stop_tokens(generation, tokenizer),
        decoding=_decoding(generation),
        recurrent=step.recurrent,
        fingerprint=fingerprint(folder, files, step.computed),
        computed=step.computed,
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """A runner, how it computes, and the tokens that the model was made for (None: it doesn't say)."""

    runner: Runner
    computed: str
    context: int | None
    recurrent: bool = False


def _recurrent(
    name: str,
    config: Mapping[str, Any],
    folder: Path,
    files: list[Path],
    device: torch.device,
    options: LoadOptions,
) -> _Step | None:
    """The step of recurrent models, for these."""
    if config.get("model_type") != RECURRENT:
        return None
    if options.dtype == "int8":
        raise ModelNotFound(f"{name} can't be computed in int8: it is a recurrent model; choose auto")
    from inference.local.recurrent import RecurrentRunner
    from inference.rnn import RecurrentForCausalLM

    model = _loaded(RecurrentForCausalLM, name, folder, files, device, options)
    how = f"{_named(model.dtype)} on torch, {device.type}"
    return _Step(RecurrentRunner(model), how, UNBOUNDED, recurrent=True)


def _native(
    name: str, config: Mapping[str, Any], files: list[Path], device: torch.device, options: LoadOptions
) -> _Step | None:
    """The native step, if this model on this machine can have it and is wanted so."""
    demanded = options.dtype == "int8" or options.cache_dtype == "int8"
    try:
        shape = _fit_for_native(config, device, options)
        shipped = native.shipped()
        if shipped is None:
            raise NotInFamily("the native step was not built: install a C compiler, then Chorus again")
    except NotInFamily as reason:
        if demanded:
            raise ModelNotFound(f"{name} can't be computed in int8: {reason}") from reason
        if device.type == "cpu" and options.native and options.dtype in ("auto", *PRECISIONS):
            log.warning("%s runs on torch, which is slower: %s", name, reason)
        return None
    parameters = sum(parameter_counts(files))
    precision = options.dtype
    if precision == "auto":
        precision = "int8" if parameters > SMALL_PARAMETERS else "bfloat16"
    _check_memory(name, parameters * (1 if precision == "int8" else 2), options.room, device)
    runner = NativeRunner(
        shipped,
        shape,
        _packed(shape, files, precision, parameters, options),
        precision=precision,
        cache=options.cache_dtype,
        threads=options.threads,
    )
    return _Step(
        runner, f"{precision} with a {options.cache_dtype} cache on {runner.instruction_set}", shape.context
    )


def _fit_for_native(config: Mapping[str, Any], device: torch.device, options: LoadOptions) -> Family:
    """The model's shape. Raises NotInFamily."""
    if not options.native:
        raise NotInFamily("the native step is switched off")
    if device.type != "cpu":
        raise NotInFamily(f"the native step does not run on {device.type}")
    if options.dtype not in ("auto", *PRECISIONS):
        raise NotInFamily(f"the native step does not compute in {options.dtype}")
    return family(config)


def _packed(
    shape: Family, files: list[Path], precision: str, parameters: int, options: LoadOptions
) -> Mapping[str, torch.Tensor]:
    """The weights as the native step reads them: from where they were kept, or made now."""
    folder = None
    if options.packed_folder is not None and parameters > SMALL_PARAMETERS:
        folder = options.packed_folder / fingerprint(files[0].parent, files, precision)
        if (known := kept(folder)) is not None:
            return known
        options.progress("packing the weights, this once")
    with weights_of(files) as (read, names):
        arrays = pack(shape, read, names, precision)
        if folder is None:
            return dict(arrays)
        try:
            keep(arrays, folder)
        except OSError as error:
            log.warning("the packed weights can't be kept in %s: %s", folder, error)
            return dict(pack(shape, read, names, precision))
    return kept(folder) or {}


def _torch(name: str, folder: Path, files: list[Path], device: torch.device, options: LoadOptions) -> _Step:
    """The step on torch, over transformers' model."""
    from transformers import AutoModelForCausalLM

    from inference.local.runner import TorchRunner

    model = _loaded(AutoModelForCausalLM, name, folder, files, device, options)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    runner = TorchRunner(model, invariant=options.invariant)
    how = ", invariant" if options.invariant else ""
    return _Step(runner, f"{_named(model.dtype)} on torch, {device.type}{how}", context)


def _loaded(
    kind: Any, name: str, folder: Path, files: list[Path], device: torch.device, options: LoadOptions
) -> Any:
    """transformers' model, of one of its classes."""
    parameters = sum(parameter_counts(files))
    dtype = _dtype(options.dtype, device, parameters)
    _check_memory(name, parameters * dtype.itemsize, options.room, device)
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    return kind.from_pretrained(folder, dtype=dtype).to(device).eval()


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


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
            raise ModelNotFound(
                f"the dtype {wanted!r} is unknown: choose one of auto, int8, {', '.join(DTYPES)}"
            )
        return DTYPES[wanted]
    if device.type != "cpu":
        return torch.bfloat16
    quick = torch.cpu._is_avx512_bf16_supported()  # torch has no public name for it
    return torch.bfloat16 if quick and parameters > SMALL_PARAMETERS else torch.float32


def _json(file: Path) -> dict[str, Any]:
    """A file's object; empty if there is no such file. Raises ModelNotFound for one that is no JSON."""
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise ModelNotFound(f"{file} is not valid JSON: {error}") from error
    return content


def _stop_tokens(generation: Mapping[str, Any], tokenizer: Tokenizer) -> frozenset[int]:
    stop = generation.get("eos_token_id")
    ids = stop if isinstance(stop, list) else [stop]
    return frozenset(int(one) for one in [*ids, tokenizer.eos_token_id] if one is not None)


def _decoding(generation: Mapping[str, Any]) -> Decoding:
    """The model's own sampling; what its makers did not set is left out, or null."""

    def number(name: str, default: float) -> float:
        value = generation.get(name)
        return default if value is None else float(value)

    return Decoding(
        temperature=number("temperature", 1.0) if generation.get("do_sample") else 0.0,
        top_p=number("top_p", 1.0),
        top_k=int(number("top_k", 0)),
        repetition_penalty=number("repetition_penalty", 1.0),
    )
