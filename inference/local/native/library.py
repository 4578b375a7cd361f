"""The compiled step, through ctypes: step.h in Python. Knows nothing of models or tensors' meaning."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, Structure, c_char_p, c_float, c_int32, c_uint64, c_void_p
from functools import cache
from pathlib import Path

from inference.local.native.build import LIBRARY

VERSION = 1  # CHORUS_VERSION
INT8, BF16 = 0, 1  # enum chorus_numbers
SILU, GELU_TANH = 0, 1  # enum chorus_activation


class Linear(Structure):
    _fields_ = (
        ("weight", c_void_p),
        ("scale", c_void_p),
        ("shift", c_void_p),
        ("bias", c_void_p),
        ("inputs", c_int32),
        ("outputs", c_int32),
    )


class Layer(Structure):
    _fields_ = (
        ("attention_norm", c_void_p),
        ("mlp_norm", c_void_p),
        ("query_norm", c_void_p),
        ("key_norm", c_void_p),
        ("qkv", Linear),
        ("output", Linear),
        ("gate_up", Linear),
        ("down", Linear),
        ("window", c_int32),
    )


class Model(Structure):
    _fields_ = (
        ("hidden", c_int32),
        ("intermediate", c_int32),
        ("layers", c_int32),
        ("heads", c_int32),
        ("kv_heads", c_int32),
        ("head_dim", c_int32),
        ("vocabulary", c_int32),
        ("weights", c_int32),
        ("cache", c_int32),
        ("activation", c_int32),
        ("context", c_int32),
        ("epsilon", c_float),
        ("scaling", c_float),
        ("embedding_scale", c_float),
        ("embedding", c_void_p),
        ("cosines", c_void_p),
        ("sines", c_void_p),
        ("norm", c_void_p),
        ("head", Linear),
        ("layer", POINTER(Layer)),
    )


class Cache(Structure):
    _fields_ = (
        ("blocks", c_int32),
        ("numbers", c_void_p),
        ("scales", c_void_p),
    )


class Batch(Structure):
    _fields_ = (
        ("spans", c_int32),
        ("tokens", c_int32),
        ("token", c_void_p),
        ("start", c_void_p),
        ("count", c_void_p),
        ("wanted", c_void_p),
        ("first_block", c_void_p),
        ("table", c_void_p),
    )


def load(path: Path) -> ctypes.CDLL | None:
    """The library at `path`; None if it is not there, or was built from other sources."""
    try:
        library = ctypes.CDLL(str(path))
        library.chorus_version.restype = c_int32
    except (OSError, AttributeError):
        return None
    if library.chorus_version() != VERSION:
        return None
    library.chorus_instruction_sets.restype = c_char_p
    library.chorus_open.argtypes = [POINTER(Model), POINTER(Cache), c_int32, c_char_p]
    library.chorus_open.restype = c_void_p
    library.chorus_step.argtypes = [c_void_p, POINTER(Batch), c_void_p]
    library.chorus_step.restype = c_int32
    library.chorus_close.argtypes = [c_void_p]
    library.chorus_close.restype = None
    library.chorus_read_memory.argtypes = [c_void_p, c_void_p, c_uint64]
    library.chorus_read_memory.restype = c_uint64
    return library


@cache
def shipped() -> ctypes.CDLL | None:
    """The library that was built with the project, if it was."""
    return load(LIBRARY)


def instruction_sets(library: ctypes.CDLL) -> list[str]:
    """What it was built for and this processor has, best last."""
    names: bytes = library.chorus_instruction_sets()
    return names.decode().split()


def cores() -> int:
    """Threads that this process can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
