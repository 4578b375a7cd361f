"""What to compute on, and in which numbers."""

from __future__ import annotations

import torch

from inference.training.errors import WorkshopError


def open_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one. Raises WorkshopError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise WorkshopError(f"there is no device {name} here; take cpu, or leave it out") from error
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    return device


def computed_in(precision: str, device: torch.device) -> torch.dtype:
    """bfloat16 where it is asked for or, by `auto`, where the hardware multiplies it faster."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    can = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    faster = device.type == "cuda" or can.get("amx_bf16") or can.get("avx512_bf16")
    return torch.bfloat16 if faster else torch.float32
