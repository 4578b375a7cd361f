"""Compiles the native step. Used when the project is installed or its wheel is built, and by hand:
`python -m inference.local.native.build`.

Knows nothing of Python's headers: the library is called through ctypes and serves every Python. Needs a C
compiler that knows GNU C (gcc or clang); without one the project works all the same, on torch alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / "_chorus.so"

NEEDED = ("step", "linear", "cache", "attention", "plan", "room", "measure", "team", "portable")
COMMON = ["-O3", "-std=gnu11", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"]
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [f"-mavx512{part}" for part in ("f", "bw", "vl", "dq", "vnni", "bf16")]
AVX512 += ["-mfma", "-mprefer-vector-width=512"]
AMX = [*AVX512, "-mamx-tile", "-mamx-int8", "-mamx-bf16"]


class BuildError(Exception):
    """There is no library; the message says why."""


def instruction_sets() -> dict[str, list[str]]:
    """Files that this machine's architecture may have besides, with the flags that each needs."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return {}
    return {"avx2": AVX2, "avx512": AVX512, "amx": AMX}


def build(target: Path = LIBRARY, *, more: Sequence[str] = ()) -> Path:
    """Compile into `target`, with further flags. An instruction set that the compiler is too old for is left
    out. Raises BuildError; what stood there before is then kept."""
    compiler = os.environ.get("CC") or next(
        (name for name in ("cc", "gcc", "clang") if shutil.which(name)), None
    )
    if compiler is None:
        raise BuildError("there is no C compiler (gcc or clang) on this machine")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:

        def compiled(name: str, flags: Sequence[str] = ()) -> Path:
            made = Path(folder) / f"{name}.o"
            _run([compiler, *COMMON, *flags, *more, "-c", str(HERE / f"{name}.c"), "-o", str(made)])
            return made

        def optional(name: str, flags: Sequence[str]) -> Path | None:
            try:
                return compiled(name, flags)
            except BuildError:
                return None

        sets = instruction_sets()
        tried = dict(zip(sets, pool.map(optional, sets, sets.values()), strict=True))
        found = {name: made for name, made in tried.items() if made is not None}
        defined = [f"-DCHORUS_{name.upper()}" for name in found]
        objects = [*found.values(), compiled("detect", defined), *pool.map(compiled, NEEDED)]
        made = target.with_suffix(".new")
        _run([compiler, "-shared", *more, *map(str, objects), "-o", str(made), "-lm", "-lpthread"])
        made.replace(target)  # at once: a process that runs on the old file keeps it
    return target


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  our own command
    except OSError as error:
        raise BuildError(f"{command[0]} can't be run: {error}") from error
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{' '.join(command)} failed:\n{error.stderr}") from error


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except BuildError as error:
        sys.exit(str(error))
