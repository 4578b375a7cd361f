"""The native step: it computes what transformers does, on every instruction set, and always the same bits."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

import inference
from inference import ModelNotFound
from inference.embedded import FOLDER
from inference.local.native import build
from inference.local.native import library as native
from inference.local.native.family import NotInFamily, family
from inference.local.native.packing import keep, kept
from inference.local.native.runner import NativeRunner
from inference.local.row import BLOCK_SIZE, Row
from inference.local.template import ChatTemplate
from inference.local.tokenizer import open_tokenizer
from tests import models
from tests.inference.native import instruction_sets, library, native_runner, packed, shape_of

BLOCKS = 64
LENGTH = 150
SETS = instruction_sets() or ["none"]
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama with odd sizes": (
        "llama",
        {"hidden_size": 40, "intermediate_size": 72, "head_dim": 10, "vocab_size": 391},
    ),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}),
    "llama with one KV head": (
        "llama",
        {"hidden_size": 40, "num_attention_heads": 20, "num_key_value_heads": 1, "head_dim": 4},
    ),
    "llama with Llama 3's scaling": ("llama-rope-scaling", {}),
    "llama with YaRN": ("llama", {"rope_parameters": YARN}),
    "llama with linear scaling": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "mistral with a window": ("mistral", {"sliding_window": 70}),
    "mistral with a small window": ("mistral", {}),
    "qwen2": ("qwen2", {}),
    "qwen2 with some windows": (
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": 20,
            "layer_types": ["full_attention", "sliding_attention"],
        },
    ),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma", {}),
}
dice = random.Random(5)
TEXT = [dice.randrange(6, models.VOCABULARY) for _ in range(LENGTH)]


@cache
def folder_of(root: Path, name: str) -> Path:
    base, changes = SHAPES[name]
    return models.build(root / name.replace(" ", "-"), base, **changes)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@cache
def reference(folder: Path) -> Tensor:
    """transformers' own logits in f32, (LENGTH, V)."""
    with torch.inference_mode():
        logits: Tensor = models.reference(folder)(torch.tensor([TEXT])).logits[0]
    return logits


def runner(folder: Path, **options: Any) -> NativeRunner:
    made = native_runner(folder, **{"precision": "bfloat16", **options})
    made.allocate(BLOCKS)
    return made


def row(start: int, count: int, first_block: int = 0, logits: int | None = None) -> Row:
    """Some of TEXT, whose blocks follow one another from `first_block`."""
    blocks = range(first_block, first_block + -(-LENGTH // BLOCK_SIZE))
    return Row(TEXT[start : start + count], start, blocks, count if logits is None else logits)


def worst(given: Tensor, right: Tensor) -> float:
    return float((given - right).abs().max() / right.abs().max())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("instruction_set", SETS)
def test_bf16_gives_the_logits_of_transformers(instruction_set: str, name: str, root: Path) -> None:
    folder = folder_of(root, name)
    step = runner(folder, instruction_set=instruction_set, threads=2)
    assert worst(step.step([row(0, LENGTH)]), reference(folder)) < 2e-2


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("instruction_set", SETS)
def test_int8_stays_near_the_logits_of_transformers(instruction_set: str, name: str, root: Path) -> None:
    folder = folder_of(root, name)
    for cache_precision in ("bfloat16", "int8"):
        step = runner(folder, precision="int8", cache=cache_precision, instruction_set=instruction_set)
        given = step.step([row(0, LENGTH)])
        assert (
            worst(given, reference(folder)) < 0.15
        )  # small widths round coarsely: real models are below 0.05
        assert torch.nn.functional.cosine_similarity(given, reference(folder)).min() > 0.985


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
@pytest.mark.parametrize("instruction_set", SETS)
def test_every_instruction_set_computes_what_the_portable_one_does(
    instruction_set: str, precision: str, root: Path
) -> None:
    folder = folder_of(root, "qwen3")
    expected = runner(folder, precision=precision, instruction_set="portable").step([row(0, LENGTH)])
    given = runner(folder, precision=precision, instruction_set=instruction_set).step([row(0, LENGTH)])
    assert worst(given, expected) < (5e-2 if precision == "int8" else 2e-2)


pieces = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
@pytest.mark.parametrize("instruction_set", SETS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["llama", "mistral with a window", "qwen3", "llama with one KV head"]),
    cache_precision=st.sampled_from(["int8", "bfloat16"]),
    threads=st.integers(1, 3),
    cuts=pieces,
    others=st.lists(st.tuples(st.integers(0, 100), st.integers(1, 40)), max_size=20),
)
def test_a_rows_result_depends_on_nothing_else(
    instruction_set: str,
    precision: str,
    name: str,
    cache_precision: str,
    threads: int,
    cuts: list[int],
    others: list[tuple[int, int]],
    root: Path,
) -> None:
    """Cut into chunks, beside other rows that share its beginning or don't, on any number of threads."""
    folder = folder_of(root, name)
    options = {"precision": precision, "cache": cache_precision, "instruction_set": instruction_set}
    whole = runner(folder, threads=1, **options).step([row(0, LENGTH)])
    step = runner(folder, threads=threads, **options)
    step.step([row(0, LENGTH, first_block=20, logits=0)])  # what the others read
    given, start, cuts = [], 0, list(cuts)
    while start < LENGTH:
        count = min(cuts.pop(0) if cuts else LENGTH, LENGTH - start)
        beside = [row(at, some if n % 3 else 1, first_block=20) for n, (at, some) in enumerate(others)]
        given.append(step.step([*beside, row(start, count)])[-count:])
        start += count
    assert torch.equal(torch.cat(given), whole)


@pytest.mark.parametrize("instruction_set", SETS)
def test_many_single_tokens_behind_one_prefix_equal_each_alone(instruction_set: str, root: Path) -> None:
    """The prefix is read once for all of them."""
    step = runner(folder_of(root, "qwen3"), instruction_set=instruction_set, threads=2)
    step.step([row(0, LENGTH, logits=0)])
    shared = list(range(BLOCK_SIZE - 7))
    own = [Row([TEXT[n]], 144, [*shared, 30 + n], 1) for n in range(13)]
    alone = torch.cat([step.step([one]) for one in own])
    assert torch.equal(step.step(own), alone)
    assert not torch.equal(alone[0], alone[1])


def test_blocks_can_be_copied_and_moved(root: Path) -> None:
    for cache_precision in ("bfloat16", "int8"):
        step = runner(folder_of(root, "llama"), cache=cache_precision)
        expected = step.step([row(0, LENGTH)])[-1:]
        for at in range(10):
            step.copy_block(at, 20 + at)
            step.write_block(40 + at, step.read_block(20 + at))
        assert torch.equal(step.step([row(LENGTH - 1, 1, first_block=40)]), expected)
        with pytest.raises(ValueError, match="block"):
            step.write_block(0, {"other": torch.zeros(1)})
        with pytest.raises(ValueError, match="as this model has it"):
            step.write_block(0, {name: one.double() for name, one in step.read_block(0).items()})


def test_packed_weights_are_kept_and_found_again(root: Path, tmp_path: Path) -> None:
    folder = folder_of(root, "qwen3")
    arrays = packed(folder, "int8")
    keep(iter(arrays.items()), tmp_path / "packed")
    again = kept(tmp_path / "packed")
    assert again is not None
    assert again.keys() == arrays.keys()
    assert all(torch.equal(again[name], arrays[name]) for name in arrays)
    assert all(array.data_ptr() % 64 == 0 for array in again.values())
    made = NativeRunner(library(), shape_of(folder), again, precision="int8")
    made.allocate(BLOCKS)
    assert torch.equal(made.step([row(0, LENGTH)]), runner(folder, precision="int8").step([row(0, LENGTH)]))


@pytest.mark.parametrize("damage", ["index", "weights", "version", "nothing"])
def test_damaged_packed_weights_are_not_used(damage: str, root: Path, tmp_path: Path) -> None:
    keep(iter(packed(folder_of(root, "llama"), "int8").items()), tmp_path / "packed")
    index = tmp_path / "packed" / "index.json"
    match damage:
        case "index":
            index.write_text("{")
        case "weights":
            os.truncate(tmp_path / "packed" / "weights.bin", 1000)
        case "version":
            index.write_text(json.dumps({**json.loads(index.read_text()), "version": 0}))
        case "nothing":
            shutil.rmtree(tmp_path / "packed")
    assert kept(tmp_path / "packed") is None


def test_packing_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Any:
        yield "norm", torch.zeros(64)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        keep(broken(), tmp_path / "packed")
    assert list(tmp_path.iterdir()) == []


async def test_large_models_start_from_their_packed_weights(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library()
    monkeypatch.setattr("inference.local.load.SMALL_PARAMETERS", 1000)
    told: list[str] = []
    answers = []
    for _ in range(2):
        engine = inference.open_engine(
            str(folder_of(root, "llama")), packed_folder=tmp_path, progress=told.append, cache_mb=8
        )
        async with engine:
            request = inference.Request(
                prompt_token_ids=TEXT[:20], sampling=inference.SamplingParams(temperature=0, max_tokens=8)
            )
            answers.append(
                [one async for one in engine.generate(request) if isinstance(one, inference.Delta)]
            )
    assert answers[0] == answers[1]
    assert sum("packing" in one for one in told) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "not of the Llama family"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
        ({"partial_rotary_factor": 0.5}, "in part"),
        ({"hidden_act": "relu"}, "relu"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_what_it_can_not_compute_is_refused(changes: dict[str, Any], reason: str, root: Path) -> None:
    config = json.loads((folder_of(root, "llama") / "config.json").read_text())
    with pytest.raises(NotInFamily, match=reason):
        family({**config, **changes})


@pytest.mark.parametrize("name", SHAPES)
def test_configurations_mean_what_transformers_reads_in_them(name: str, root: Path) -> None:
    """Above all the defaults of what a configuration leaves out, and the angles."""
    folder = folder_of(root, name)
    ours, theirs = shape_of(folder), AutoConfig.from_pretrained(folder)
    assert (ours.heads, ours.kv_heads) == (theirs.num_attention_heads, theirs.num_key_value_heads)
    assert ours.epsilon == theirs.rms_norm_eps
    model = AutoModelForCausalLM.from_config(theirs)
    cosines, sines = ours.rotary.tables(100)
    expected = model.model.rotary_emb(torch.zeros(1), torch.arange(100)[None])
    half = ours.head_dim // 2
    torch.testing.assert_close(cosines, expected[0][0, :, :half])
    torch.testing.assert_close(sines, expected[1][0, :, :half])


async def test_int8_of_what_is_not_native_is_explained(tmp_path: Path) -> None:
    folder = models.build(tmp_path / "gpt2", "gpt2")
    with pytest.raises(ModelNotFound, match="int8: GPT2LMHeadModel is not of the Llama family"):
        async with inference.open_engine(str(folder), dtype="int8"):
            pass


async def test_without_the_library_torch_answers_and_it_is_said_once(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "shipped", lambda: None)
    async with inference.open_engine(str(tiny_model), cache_mb=8) as engine:
        request = inference.Request(
            prompt_token_ids=TEXT[:5], sampling=inference.SamplingParams(temperature=0, max_tokens=3)
        )
        assert [one async for one in engine.generate(request)]
    assert sum("install a C compiler" in record.getMessage() for record in caplog.records) == 1


HELD_OUT = [  # everyday talk that the embedded model was not trained on
    (
        "How was the concert on Sunday?",
        "It was great! It rained a little, but we stayed until the last song.",
    ),
    (
        "Could you tell me how to boil an egg?",
        "Put it into boiling water for seven minutes, then into cold water.",
    ),
    ("My brother repaired an old bicycle.", "That is nice. Does it ride well?"),
    ("When does the train to the coast leave?", "It leaves at nine, and it takes about two hours."),
    ("I don't know what to cook tonight.", "How about soup? It is easy to make, and good on a cold day."),
    ("Do you like the sea?", "I have never seen it, but I like to hear about it."),
]


@pytest.mark.parametrize("instruction_set", SETS)
def test_int8_reads_the_embedded_models_texts_as_well_as_f32(instruction_set: str) -> None:
    """A guard on a small text; `benchmarks/accuracy.py` measures 0.1% on a large one."""
    tokenizer = open_tokenizer(FOLDER)
    template = ChatTemplate(tokenizer)
    full = models.reference(FOLDER)
    step = native_runner(FOLDER, precision="int8", instruction_set=instruction_set)
    step.allocate(32)
    losses = torch.zeros(2)
    count = 0
    for question, answer in HELD_OUT:
        tokens = template.tokenize([inference.ChatMessage("user", question)])
        tokens += tokenizer.encode(answer, add_special=False)
        with torch.inference_mode():
            right = full(torch.tensor([tokens])).logits[0, :-1]
        given = step.step([Row(tokens, 0, range(len(tokens) // BLOCK_SIZE + 1), len(tokens))])[:-1]
        for n, logits in enumerate((right, given)):
            losses[n] += torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="sum")
        count += len(tokens) - 1
    full_perplexity, perplexity = (losses / count).exp().tolist()
    assert abs(perplexity / full_perplexity - 1) < 0.02


def test_a_missing_compiler_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match="no C compiler"):
        build.build(tmp_path / "x.so")
    assert native.load(tmp_path / "x.so") is None


def test_an_old_compiler_builds_what_it_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library()
    old = tmp_path / "old-cc"
    refusal = 'for a in "$@"; do case $a in -mavx512*|-mamx*) exit 1;; esac; done'
    old.write_text(f'#!/bin/sh\n{refusal}\nexec cc "$@"\n')
    old.chmod(0o755)
    monkeypatch.setenv("CC", str(old))
    made = native.load(build.build(tmp_path / "x.so"))
    assert made is not None
    assert not {"avx512", "amx"} & set(native.instruction_sets(made))
    assert "portable" in native.instruction_sets(made)


SANITIZED = """
import random, sys
import torch
from pathlib import Path
from inference.local.native import library as native
from inference.local.row import Row
from tests.inference.native import native_runner
import tests.inference.native as shared

shared.library = lambda: native.load(Path(sys.argv[1]))
dice = random.Random(7)
for name in sys.argv[3:]:
    for instruction_set in native.instruction_sets(shared.library()):
        for precision in ("int8", "bfloat16"):
            for cache in ("int8", "bfloat16"):
                step = native_runner(Path(sys.argv[2]) / name, precision=precision, cache=cache,
                                     instruction_set=instruction_set, threads=dice.randint(1, 3))
                step.allocate(12)
                for _ in range(12):
                    rows = []
                    for _ in range(dice.randint(1, 9)):
                        start, count = dice.randrange(60), dice.choice([1, 1, 1, dice.randint(2, 90)])
                        need = -(-(start + count) // 16)
                        blocks = [dice.randrange(12) for _ in range(need)]
                        rows.append(Row([dice.randrange(300) for _ in range(count)], start, blocks,
                                        dice.randint(0, count)))
                    step.step(rows)
                step.close()
print("clean")
"""


@pytest.mark.slow
def test_sanitizers_find_nothing_in_steps_of_random_shapes(root: Path, tmp_path: Path) -> None:
    """Addresses and undefined behaviour, on every instruction set."""
    library()
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    made = build.build(tmp_path / "sanitized.so", more=flags)
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    names = [
        "llama",
        "llama with odd sizes",
        "llama with one KV head",
        "mistral with a window",
        "qwen3",
        "gemma",
    ]
    folders = [folder_of(root, name).name for name in names]
    done = subprocess.run(
        [sys.executable, "-c", SANITIZED, str(made), str(root), *folders],
        env={
            **os.environ,
            "LD_PRELOAD": found.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "clean", done.stderr[-3000:]
