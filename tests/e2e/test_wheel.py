"""The wheel works wherever it is installed: weights, template and migrations travel in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from inference.local.native import library as native

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("chorus-*.whl"))


def test_it_holds_what_is_needed_and_nothing_of_the_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "inference/embedded/model/model.safetensors",
        "inference/embedded/model/chat_template.jinja",
        "inference/embedded/model/README.md",
        "migrations/env.py",
        "migrations/versions/0001_the_first_schema.py",
    } <= names
    if native.shipped() is not None:  # where this was installed with a compiler
        assert "inference/local/native/_chorus.so" in names
        assert "any" not in wheel.stem.split("-")[-1]
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "adapters",
        "bot",
        "inference",
        "migrations",
    }


def test_it_answers_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    """The libraries are lent from this environment: what is tried is what the wheel itself brings."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [home / "bin" / "python", "-m", "bot", "chat", "--message", "hello"],
        cwd="/",
        env={**environment, "XDG_DATA_HOME": str(tmp_path / "data"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert (tmp_path / "data" / "chorus" / "chorus.sqlite3").is_file()
