"""Open instruct models that are known to be good company, and which of them this machine can run.

The figures are those of the models' own pages and files. Knows nothing of settings files or downloads. What
fits is judged as `inference.local.load` will judge it when the model opens.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

UNROUNDED = 100_000_000  # parameters: smaller models are not rounded to int8
DTYPE_BYTES = {"int8": 1, "bfloat16": 2, "float16": 2, "float32": 4}
STORED_BYTES = 2  # of a parameter in the hub's files: all of them hold bfloat16


@dataclass(frozen=True, slots=True)
class Known:
    """A model. `parameters` are those that its files hold: some hold the output layer once more. `context` in
    tokens. `gated` ones ask for a login at the hub, and for their licence to be accepted there."""

    name: str
    hub_id: str
    parameters: int
    context: int
    licence: str
    architecture: str
    gated: bool = False

    def weights(self, dtype: str) -> int:
        """Bytes in memory."""
        return self.parameters * DTYPE_BYTES[dtype]

    @property
    def download(self) -> int:
        """Bytes on disk."""
        return self.parameters * STORED_BYTES

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{self.hub_id}"


LLAMA, QWEN, GEMMA = "LlamaForCausalLM", "Qwen3ForCausalLM", "Gemma3ForCausalLM"
APACHE = "Apache-2.0"
LLAMA_LICENCE, GEMMA_LICENCE = "Llama 3.2", "Gemma terms"

CATALOGUE = (
    Known("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008, 8_192, APACHE, LLAMA),
    Known("gemma3-270m", "google/gemma-3-270m-it", 268_098_176, 32_768, GEMMA_LICENCE, GEMMA, gated=True),
    Known("smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct", 361_821_120, 8_192, APACHE, LLAMA),
    Known("qwen3-0.6b", "Qwen/Qwen3-0.6B", 751_632_384, 40_960, APACHE, QWEN),
    Known("gemma3-1b", "google/gemma-3-1b-it", 999_885_952, 32_768, GEMMA_LICENCE, GEMMA, gated=True),
    Known(
        "llama3.2-1b",
        "meta-llama/Llama-3.2-1B-Instruct",
        1_235_814_400,
        131_072,
        LLAMA_LICENCE,
        LLAMA,
        gated=True,
    ),
    Known("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct", 1_711_376_384, 8_192, APACHE, LLAMA),
    Known("qwen3-1.7b", "Qwen/Qwen3-1.7B", 2_031_739_904, 40_960, APACHE, QWEN),
    Known(
        "llama3.2-3b",
        "meta-llama/Llama-3.2-3B-Instruct",
        3_212_749_824,
        131_072,
        LLAMA_LICENCE,
        LLAMA,
        gated=True,
    ),
    Known("phi4-mini", "microsoft/Phi-4-mini-instruct", 3_836_021_760, 131_072, "MIT", "Phi3ForCausalLM"),
    Known("qwen3-4b", "Qwen/Qwen3-4B", 4_022_468_096, 40_960, APACHE, QWEN),
    Known(
        "mistral-7b",
        "mistralai/Mistral-7B-Instruct-v0.3",
        7_248_023_552,
        32_768,
        APACHE,
        "MistralForCausalLM",
    ),
    Known("qwen3-8b", "Qwen/Qwen3-8B", 8_190_735_360, 40_960, APACHE, QWEN),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What can be had here. Sizes in bytes, free now; `memory` None where the system doesn't tell, `gpu` None
    without one. `native` says whether the native step was built, `quick_bf16` whether torch computes bfloat16
    fast on this processor."""

    memory: int | None
    disk: int
    gpu: int | None = None
    native: bool = True
    quick_bf16: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a model would run: on which step and in which dtype, on how many bytes. `lacks` is what there is
    too little of: memory, GPU memory or disk; empty if it fits."""

    step: str
    dtype: str
    needed: int
    lacks: str = ""


def find(name: str) -> Known | None:
    """By its name here or its hub id, whatever the case."""
    wanted = name.lower()
    return next((one for one in CATALOGUE if wanted in (one.name, one.hub_id.lower())), None)


def judge(model: Known, machine: Machine, *, room: int, dtype: str = "auto", here: bool = False) -> Verdict:
    """How a model would run with `room` bytes beside its weights, and `dtype` as in the settings. `here`: it
    need not be downloaded."""
    step, dtype = _step(model, machine, dtype)
    needed = model.weights(dtype) + room
    free = machine.memory if machine.gpu is None else machine.gpu
    packed = model.weights(dtype) if step == "native" and model.parameters > UNROUNDED else 0
    if free is not None and needed > free:
        lacks = "memory" if machine.gpu is None else "GPU memory"
    elif packed + (0 if here else model.download) > machine.disk:
        lacks = "disk"
    else:
        lacks = ""
    return Verdict(step, dtype, needed, lacks)


def _step(model: Known, machine: Machine, dtype: str) -> tuple[str, str]:
    if machine.gpu is not None:
        return "torch, GPU", "bfloat16" if dtype in ("auto", "int8") else dtype
    if runs_natively(model) and machine.native and dtype in ("auto", "int8", "bfloat16"):
        usual = "int8" if model.parameters > UNROUNDED else "bfloat16"
        return "native", usual if dtype == "auto" else dtype
    if dtype in ("auto", "int8"):
        dtype = "bfloat16" if machine.quick_bf16 and model.parameters > UNROUNDED else "float32"
    return "torch", dtype


def runs_natively(model: Known) -> bool:
    """Whether the native step computes it, where it was built."""
    from inference.local.native.family import FAMILY

    return model.architecture in FAMILY


def free_disk(folder: Path) -> int:
    """Bytes that a folder can take, one that is yet to be made included."""
    existing = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    return shutil.disk_usage(existing).free


def this_machine(downloads: Path, device: str = "auto") -> Machine:
    """What is free here, for models that go to the folder `downloads`. `device` as in the settings. Imports
    torch."""
    import torch

    from inference.local.native import library
    from inference.local.weights import available_memory

    gpu = None
    if device != "cpu" and torch.cuda.is_available():
        gpu = torch.cuda.mem_get_info()[0]
    return Machine(
        memory=available_memory(),
        disk=free_disk(downloads),
        gpu=gpu,
        native=library.shipped() is not None,
        quick_bf16=torch.cpu._is_avx512_bf16_supported(),  # torch has no public name for it
    )
