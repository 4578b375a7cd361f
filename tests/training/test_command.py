"""`chorus model` from a text to an answer, as somebody types it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.__main__ import cli
from tests.training import corpora

RECIPE = """
name = "tiny"
[tokenizer]
vocabulary = 400
[model]
family = "llama"
hidden = 32
layers = 2
heads = 4
intermediate = 48
context = 128
[corpora.chats]
files = ["chats.jsonl.xz"]
[corpora.text]
files = ["text.txt"]
[optimizer]
kind = "adamw"
rate = 0.01
[train]
row = 64
step_rows = 4
micro_rows = 4
[schedule]
warmup = 5
[[phases]]
tokens = 20_000
mix = { chats = 1, text = 0.2 }
[[phases]]
tokens = 20_000
loss = "assistant"
mix = { chats = 1 }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    corpora.data(tmp_path / "data")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return str(tmp_path / "tiny.toml")


def model(*words: object) -> Result:
    return CliRunner().invoke(cli, ["model", *map(str, words)])


def read(terminal: int) -> str:
    """What was written to it since; nothing once it is closed at its other end."""
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:
        return ""


def made(*words: object) -> Result:
    result = model(*words)
    assert result.exit_code == 0, result.output
    return result


def test_from_a_text_to_a_bot_that_answers(recipe: str, tmp_path: Path) -> None:
    work, held_out = tmp_path / "work", corpora.write(tmp_path / "held-out.jsonl", corpora.chats(12, seed=5))

    assert "chats" in made("prepare", recipe, "--data", tmp_path / "data", "--work", work).stdout
    trained = made("train", recipe, "--work", work, "--device", "cpu")
    assert "156 steps" in trained.stdout
    assert "phase 2, loss" in trained.stderr
    assert (work / "loss.png").stat().st_size > 5000

    judged = json.loads(made("eval", work / "model", held_out, "--json").stdout)
    assert 1 < judged["perplexity"] < 10
    assert judged["next_turn_accuracy"] > 0.4
    table = made("eval", work / "model", held_out).stdout
    assert f"{judged['perplexity']:.3f}" in table

    question = "Hi, I am Ada and I like soup."
    said = made("sample", work / "model", "--message", question, "--temperature", 0, "--count", 1).stdout
    assert said.startswith("1. Hello")

    made("export", recipe, tmp_path / "mine", "--work", work)
    spoken = CliRunner().invoke(
        cli,
        ["chat", "--model", str(tmp_path / "mine"), "--message", question, "--temperature", "0", "--json"],
    )
    assert spoken.exit_code == 0, spoken.output
    assert "Hello" in spoken.stdout


def test_what_is_done_is_not_done_again(recipe: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    made("prepare", recipe, "--data", tmp_path / "data", "--work", work)
    made("train", recipe, "--work", work)
    again = made("train", recipe, "--work", work)
    assert "step 1 of" not in again.stderr
    assert "step 1 of" in made("train", recipe, "--work", work, "--fresh").stderr


def test_the_workshop_is_in_the_users_data_by_default(recipe: str, tmp_path: Path) -> None:
    made("prepare", recipe, "--data", tmp_path / "data")
    assert (tmp_path / "xdg_data_home" / "chorus" / "workshop" / "tiny" / "tokenizer").is_dir()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["prepare", "no-such-recipe"], "there is no recipe no-such-recipe", 2),
        (["prepare", "embedded-cpu", "--data", "/nowhere"], "--data", 1),
        (["train", "embedded-cpu"], "chorus model prepare", 1),
        (["eval", "/nowhere", "held-out.jsonl"], "there is no folder /nowhere", 1),
        (["eval", "embedded", "/nowhere.jsonl"], "/nowhere.jsonl can't be read", 1),
        (["sample", "embedded"], "--message or --text", 2),
        (["sample", "embedded", "--message", "a", "--text", "b"], "--message or --text", 2),
        (["export", "embedded-cpu", "somewhere"], "chorus model train", 1),
        (["sample", "embedded", "--message", "Hi", "--device", "abacus"], "abacus", 1),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(words: list[str], said: str, code: int) -> None:
    result = model(*words)
    assert result.exit_code == code
    assert said in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("chorus: ")


def test_in_a_terminal_the_curve_is_drawn_and_ctrl_c_keeps_what_was_done(recipe: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    Path(recipe).write_text(RECIPE.replace("20_000", "20_000_000"))
    made("prepare", recipe, "--data", tmp_path / "data", "--work", work)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bot.__main__", "model", "train", recipe, "--work", str(work)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, text=True, env=environment) as run:
        os.close(theirs)
        seen = ""
        asked = False
        while more := read(ours):
            seen += more
            if "█" in seen and not asked:
                run.send_signal(signal.SIGINT)
                asked = True
        assert run.stdout is not None
        said = run.stdout.read()
    os.close(ours)
    assert "█" in seen
    assert "tokens/s" in seen
    assert run.returncode == 130
    assert "goes on from there" in said
    [checkpoint] = (work / "checkpoints").iterdir()
    assert f"step {int(checkpoint.stem.removeprefix('step-'))} of" in said
