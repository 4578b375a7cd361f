"""Choosing a model: what fits, `chorus model list`, `use` and `pull`, the hub being a server of our own."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import transformers
from typer.testing import CliRunner, Result

from bot.__main__ import cli
from bot.catalogue import CATALOGUE, Known, Machine, find, judge, runs_natively
from bot.choose_command import set_model

GIB = 1 << 30
ROOM = GIB // 2
SMALL, LARGE, GEMMA = "smollm2-360m", "qwen3-8b", "gemma3-1b"
TINY = "someone/tiny"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHORUS_MODEL__NAME", raising=False)


def known(name: str) -> Known:
    found = find(name)
    assert found is not None
    return found


def chorus(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["model", *arguments], env={"COLUMNS": "100"})


# --- what fits


def test_the_catalogue_is_in_order_and_can_be_asked_by_name_or_hub_id() -> None:
    assert [one.parameters for one in CATALOGUE] == sorted(one.parameters for one in CATALOGUE)
    assert len({one.name for one in CATALOGUE}) == len(CATALOGUE)
    assert find("SmolLM2-360M") is find("HuggingFaceTB/SmolLM2-360M-Instruct") is not None
    assert find("smollm3") is None


def test_every_architecture_is_one_that_transformers_has() -> None:
    assert all(hasattr(transformers, one.architecture) for one in CATALOGUE)


@pytest.mark.parametrize(
    ("name", "machine", "step", "dtype", "lacks"),
    [
        (SMALL, Machine(4 * GIB, 9 * GIB), "native", "int8", ""),
        (SMALL, Machine(4 * GIB, 9 * GIB, native=False), "torch", "float32", ""),
        (SMALL, Machine(4 * GIB, 9 * GIB, native=False, quick_bf16=True), "torch", "bfloat16", ""),
        (SMALL, Machine(None, 9 * GIB), "native", "int8", ""),
        (SMALL, Machine(GIB // 2, 9 * GIB), "native", "int8", "memory"),
        (SMALL, Machine(4 * GIB, GIB // 2), "native", "int8", "disk"),
        (LARGE, Machine(8 * GIB, 99 * GIB), "native", "int8", "memory"),
        (LARGE, Machine(9 * GIB, 99 * GIB), "native", "int8", ""),
        (LARGE, Machine(9 * GIB, 99 * GIB, gpu=15 * GIB), "torch, GPU", "bfloat16", "GPU memory"),
        (LARGE, Machine(1 * GIB, 99 * GIB, gpu=16 * GIB), "torch, GPU", "bfloat16", ""),
        (GEMMA, Machine(4 * GIB, 9 * GIB), "torch", "float32", "memory"),
        (GEMMA, Machine(5 * GIB, 9 * GIB), "torch", "float32", ""),
    ],
)
def test_what_fits_a_machine(name: str, machine: Machine, step: str, dtype: str, lacks: str) -> None:
    verdict = judge(known(name), machine, room=ROOM)
    assert (verdict.step, verdict.dtype, verdict.lacks) == (step, dtype, lacks)


def test_a_dtype_that_is_set_counts() -> None:
    machine = Machine(9 * GIB, 99 * GIB)
    assert judge(known(LARGE), machine, room=ROOM, dtype="bfloat16").lacks == "memory"
    assert judge(known(SMALL), machine, room=ROOM, dtype="float32").step == "torch"


def test_what_is_downloaded_needs_the_disk_for_its_packed_weights_only() -> None:
    machine = Machine(4 * GIB, GIB // 2)
    assert judge(known(SMALL), machine, room=ROOM).lacks == "disk"
    assert judge(known(SMALL), machine, room=ROOM, here=True).lacks == ""


def test_gemma_3_and_phi_4_take_torch() -> None:
    assert {one.name for one in CATALOGUE if not runs_natively(one)} == {
        "gemma3-270m",
        "gemma3-1b",
        "phi4-mini",
    }


# --- list


def test_the_list_names_each_model_and_marks_the_one_that_is_set(tmp_path: Path) -> None:
    (tmp_path / "chorus.toml").write_text('[model]\nname = "Qwen/Qwen3-0.6B"\n')
    shown = chorus("list").stdout
    for one in CATALOGUE:
        assert re.search(rf"^[✓✗]  {re.escape(one.name)} .*{re.escape(one.licence)}", shown, re.MULTILINE), (
            shown
        )
    assert re.findall(r"([\w.-]+) \*  ", shown) == ["qwen3-0.6b"]
    assert "embedded" in shown


def test_the_list_as_json_has_the_same_models() -> None:
    lines = [json.loads(line) for line in chorus("list", "--json").stdout.splitlines()]
    assert [line["hub_id"] for line in lines] == [one.hub_id for one in CATALOGUE]
    assert {line["downloaded"] for line in lines} == {False}
    assert {type(line["fits"]) for line in lines} == {bool}


# --- use


def test_use_makes_the_settings_file_and_says_what_comes_next(tmp_path: Path) -> None:
    result = chorus("use", "llama3.2-1b")
    assert result.exit_code == 0
    assert tomllib.loads((tmp_path / "chorus.toml").read_text()) == {
        "model": {"name": "meta-llama/Llama-3.2-1B-Instruct"}
    }
    assert "accept its licence at https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct" in result.stdout
    assert "chorus model pull" in result.stdout


WRITTEN = """\
# My bot.
[discord]
token = "secret"  # from the portal

[model]
temperature = 0.5   # calm
name = "embedded"   # small

[persona]
name = "Ada"
"""


def test_use_changes_one_line_and_keeps_every_other(tmp_path: Path) -> None:
    file = tmp_path / "chorus.toml"
    file.write_text(WRITTEN)
    file.chmod(0o600)
    assert chorus("use", "Someone/Some-Model").exit_code == 0
    assert file.read_text() == WRITTEN.replace('"embedded"', '"Someone/Some-Model"')
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir() if "toml" in one.name] == ["chorus.toml"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('model.seed = 1\r\n\r\n[persona]\r\nname = "Ada"\r\n', {"seed": 1, "name": "a/b"}),
        ("model = { seed = 1 } # brief\n", {"seed": 1, "name": "a/b"}),
        ("# nothing yet", {"name": "a/b"}),
    ],
)
def test_however_the_file_is_written_it_stays_so(
    tmp_path: Path, before: str, after: Mapping[str, object]
) -> None:
    file = tmp_path / "chorus.toml"
    file.write_bytes(before.encode())
    set_model(file, "a/b")
    written = file.read_bytes().decode()
    assert tomllib.loads(written)["model"] == after
    assert ("\r\n" in written) == ("\r\n" in before)
    assert ("#" in written) == ("#" in before)


def test_a_linked_settings_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text(WRITTEN)
    (tmp_path / "chorus.toml").symlink_to("real.toml")
    set_model(tmp_path / "chorus.toml", "a/b")
    assert (tmp_path / "chorus.toml").is_symlink()
    assert tomllib.loads((tmp_path / "real.toml").read_text())["model"]["name"] == "a/b"


def test_use_takes_a_folder_by_its_full_path(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    result = chorus("use", "mine")
    assert tomllib.loads((tmp_path / "chorus.toml").read_text())["model"]["name"] == str(tmp_path / "mine")
    assert "pull" not in result.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("smollm2-360", "did you mean smollm2-360m?"),
        ("what is this", "`chorus model list` shows"),
        ("./nowhere", "there is no folder nowhere"),
        ("a/b/c", "nor a hub id such as owner/name"),
        ("empty", "there is no config.json in it"),
    ],
)
def test_a_name_that_leads_nowhere_changes_nothing(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    result = chorus("use", name)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "chorus.toml").exists()


def test_use_says_so_when_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORUS_MODEL__NAME", "embedded")
    assert "CHORUS_MODEL__NAME=embedded in the environment wins" in chorus("use", SMALL).stdout


def test_what_does_not_fit_is_marked_and_use_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORUS_MODEL__CACHE_MB", "1e9")
    shown = chorus("list").stdout
    assert shown.count("✗") == shown.count("too little memory") == len(CATALOGUE)
    result = chorus("use", SMALL)
    assert result.exit_code == 0
    assert "Mind that there is too little memory for it here" in result.stdout


@pytest.mark.parametrize("content", ["[model\n", "model = 3\n"])
def test_a_file_that_can_not_be_read_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    file = tmp_path / "chorus.toml"
    file.write_text(content)
    assert chorus("use", SMALL).exit_code == 2
    with pytest.raises(ValueError, match=r"."):
        set_model(file, "a/b")
    assert file.read_text() == content


# --- pull


COMMIT = "c0ffee" * 6 + "cafe"
WEIGHTS = random.Random(1).randbytes(12 << 20)


@dataclass(slots=True)
class Shelf:
    """What the hub holds of its one model. `stop_after` so many bytes it breaks off, and then it answers no
    request for the rest. `ranges` are where requests for a rest began."""

    files: dict[str, bytes]
    stop_after: int | None = None
    ranges: list[int] = field(default_factory=list)
    spoilt: bool = False


class Hub(BaseHTTPRequestHandler):
    """One model, as the hub hands it out."""

    protocol_version = "HTTP/1.1"
    shelf: Shelf

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        files = self.shelf.files
        path = self.path.partition("?")[0]
        file = path.removeprefix(f"/{TINY}/resolve/{COMMIT}/")
        if path in (f"/api/models/{TINY}", f"/api/models/{TINY}/revision/main"):
            siblings = [{"rfilename": name} for name in files]
            self._send(json.dumps({"id": TINY, "sha": COMMIT, "siblings": siblings}).encode(), body=body)
        elif path == f"/api/models/{TINY}/tree/{COMMIT}":
            self._send(json.dumps([_listed(name, content) for name, content in files.items()]).encode())
        elif file in files:
            content = files[file][::-1] if self.shelf.spoilt and body else files[file]
            self._send(content, body=body, etag=_digest(files[file]))
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content: bytes, *, body: bool = True, etag: str = "") -> None:
        start, whole, stop = 0, len(content), self.shelf.stop_after
        if (wanted := self.headers.get("Range")) is not None:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.shelf.ranges.append(start)
            if stop is not None:
                self.close_connection = True
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(whole - start))
        self.send_header("X-Repo-Commit", COMMIT)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if body:
            self.wfile.write(content[start:stop])
            self.close_connection = stop is not None and whole > stop

    def log_message(self, format: str, *args: object) -> None:
        pass


def _digest(content: bytes) -> str:
    """The name of a file's content: longer for large ones."""
    return hashlib.sha256(content).hexdigest() if len(content) > 1000 else hashlib.sha1(content).hexdigest()


def _listed(name: str, content: bytes) -> dict[str, object]:
    large = {"lfs": {"oid": _digest(content), "size": len(content), "pointerSize": 130}}
    named = {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
    return {**named, **(large if len(content) > 1000 else {})}


@dataclass(frozen=True, slots=True)
class Running:
    """The hub, and the environment of a process that is to use it."""

    shelf: Shelf
    environment: Mapping[str, str]

    def pull(self, name: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "bot", "model", "pull", name, **changed)

    def python(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**self.environment, **changed},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Running]:
    shelf = Shelf(
        {
            "config.json": b'{"model_type": "llama"}',
            "model.safetensors": WEIGHTS,
            "consolidated.safetensors": b"the same once more",
            "original/params.json": b"{}",
        }
    )
    handler = type("ThisHub", (Hub,), {"shelf": shelf})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HF_HOME": str(tmp_path / "hub"),
            "HF_HUB_OFFLINE": "0",
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "NO_PROXY": "127.0.0.1",
        }
        yield Running(shelf, environment)
        server.shutdown()
        serving.join()


def test_pull_goes_on_where_the_connection_broke(hub: Running) -> None:
    hub.shelf.stop_after = 11 << 20
    first = hub.pull(TINY)
    assert first.returncode == 1
    assert first.stderr == (
        f"chorus: the model hub can't be reached to download {TINY}; check the connection and try again, "
        "or the spelling if you meant a folder\n"
    )

    hub.shelf.stop_after = None
    hub.shelf.ranges.clear()
    second = hub.pull(TINY)
    assert second.returncode == 0, second.stderr
    assert hub.shelf.ranges == [11 << 20]
    folder = Path(second.stdout.strip().partition(" is here: ")[2])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(one.name for one in folder.iterdir()) == ["config.json", "model.safetensors"]

    hub.shelf.files.clear()
    assert hub.pull(TINY).stdout == second.stdout


def test_progress_is_told_in_bytes(hub: Running) -> None:
    code = f"from inference.local.download import download; download({TINY!r}, print)"
    lines = hub.python("-c", code).stdout.splitlines()
    told = [tuple(map(int, line.split())) for line in lines]
    assert told == sorted(told)
    assert len(told) > 10
    assert told[-1] == (len(WEIGHTS), len(WEIGHTS))


def test_weights_that_arrive_damaged_are_not_kept(hub: Running) -> None:
    hub.shelf.spoilt = True
    result = hub.pull(TINY)
    assert result.returncode == 1
    assert "has arrived damaged and was thrown away; try again" in result.stderr
    hub.shelf.spoilt = False
    assert hub.pull(TINY).returncode == 0


def test_a_model_that_the_hub_does_not_have_is_one_line(hub: Running) -> None:
    result = hub.pull("someone/else")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "no public model on the hub called 'someone/else'" in result.stderr
    assert not (Path(hub.environment["HF_HOME"]) / "hub" / "models--someone--else").exists()


@pytest.mark.parametrize("offline", ["1", "0"])
def test_without_a_connection_pull_says_so_in_one_line(hub: Running, offline: str) -> None:
    result = hub.pull(SMALL, HF_HUB_OFFLINE=offline, HF_ENDPOINT="http://127.0.0.1:1")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert f"can't be reached to download {known(SMALL).hub_id}" in result.stderr


def test_what_comes_along_needs_no_download() -> None:
    result = chorus("pull")
    assert result.exit_code == 0
    assert result.stdout == "embedded needs no download: it is here.\n"
