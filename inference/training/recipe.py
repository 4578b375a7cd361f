"""One TOML file a model: what it is, what it is made of, and how. Read once, validated whole.

Knows nothing of how anything in it is done.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inference.training.errors import RecipeError

SHIPPED = Path(__file__).with_name("recipes")
ENDING = ".toml"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerRecipe(_Part):
    vocabulary: int = Field(6144, ge=262, le=2**31, description="Tokens, the six special ones among them.")
    corpora: tuple[str, ...] = Field((), description="Learnt from these; from all of them by default.")


class CorpusRecipe(_Part):
    """Texts and chats out of files, or conversations that are made up."""

    files: tuple[str, ...] = Field((), description=".jsonl or .txt, or either with .xz.")
    sources: tuple[str, ...] = Field((), description="Only what says one of these as its `source`.")
    swap_names: bool = Field(False, description="First names that people tell are swapped for others.")
    vary: bool = Field(False, description="Some of what people write gets other case, ends and spelling.")
    talks: tuple[str, ...] = Field((), description="Kinds of made-up talk.")
    count: int | None = Field(None, ge=1, description="How many of those conversations.")
    system: str | None = Field(None, description="The system message of chats that have none.")

    @model_validator(mode="after")
    def _files_or_talks(self) -> Self:
        if bool(self.files) == bool(self.talks):
            raise ValueError("a corpus names either files or talks")
        if bool(self.talks) != (self.count is not None):
            raise ValueError("count says how many talks there are to be; name both or neither")
        if self.talks and (self.sources or self.swap_names or self.vary):
            raise ValueError("sources, swap_names and vary are for files, not for talks")
        return self

    @field_validator("talks")
    @classmethod
    def _talks_are_known(cls, said: tuple[str, ...]) -> tuple[str, ...]:
        if said:
            from inference.training.talks import TALKS

            for name in said:
                if name not in TALKS:
                    raise ValueError(f"there is no talk {name!r}{_nearest(name, list(TALKS))}")
        return said


class LlamaRecipe(_Part):
    family: Literal["llama"]
    hidden: int = Field(ge=8)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int | None = Field(None, ge=1, description="As many as heads by default.")
    intermediate: int = Field(ge=8)
    context: int = Field(512, ge=16, description="Tokens that the model may be asked to hold.")
    rope_theta: float = Field(10_000.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1, description="Of the attention weights.")

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError("hidden divided by heads must be an even number")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError("heads must be a multiple of kv_heads")
        return self


class RecurrentRecipe(_Part):
    family: Literal["recurrent"]
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    hidden: int = Field(ge=8)
    layers: int = Field(ge=1)
    embedding: int | None = Field(None, ge=8, description="As wide as hidden by default.")
    context: int = Field(512, ge=16, description="Tokens that sampling is asked for at most.")
    dropout: float = Field(0.0, ge=0, lt=1)


ModelRecipe = Annotated[LlamaRecipe | RecurrentRecipe, Field(discriminator="family")]


class OptimizerRecipe(_Part):
    kind: Literal["sgd", "adamw", "muon"] = "muon"
    rate: float = Field(gt=0, description="With Muon, of the hidden matrices.")
    adamw_rate: float = Field(3e-3, gt=0, description="With Muon, of embeddings, norms and biases.")
    momentum: float = Field(0.95, ge=0, lt=1, description="Of SGD and Muon.")
    betas: tuple[float, float] = Field((0.9, 0.97), description="Of AdamW.")
    weight_decay: float = Field(0.0, ge=0, description="Of matrices, not of norms and biases.")
    clip: float = Field(1.0, gt=0, description="The gradient's norm at most.")


class ScheduleRecipe(_Part):
    """The rate over the steps, as a share of the optimizer's."""

    kind: Literal["cosine", "warmup-stable-decay"] = "warmup-stable-decay"
    warmup: int = Field(100, ge=0, description="Steps.")
    stable_to: float = Field(0.58, ge=0, le=1, description="The share of the steps at which decay begins.")
    floor: float = Field(0.02, ge=0, le=1, description="What is left at the end.")


class PhaseRecipe(_Part):
    tokens: int = Field(ge=1, description="How many are read in this phase.")
    loss: Literal["all", "assistant"] = "all"
    mix: dict[str, float] = Field(
        min_length=1, description="How often each document of a corpus comes, in proportion to the others."
    )


class TrainRecipe(_Part):
    row: int = Field(256, ge=16, description="Tokens of a row.")
    step_rows: int = Field(16, ge=1, description="Rows that make a step.")
    micro_rows: int = Field(16, ge=1, description="Rows computed at a time.")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    attention: Literal["sdpa", "eager"] = "sdpa"
    compile: bool = False
    checkpoint_every: int = Field(200, ge=1, description="Steps.")

    @model_validator(mode="after")
    def _micro_fits(self) -> Self:
        if self.step_rows % self.micro_rows:
            raise ValueError("step_rows must be a multiple of micro_rows")
        return self


class ExportRecipe(_Part):
    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    top_k: int = Field(40, ge=0)
    max_new_tokens: int = Field(80, ge=1)
    licence: str = "apache-2.0"
    languages: tuple[str, ...] = ("en",)


class Recipe(_Part):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Also of the workshop's folder.")
    seed: int = Field(0, ge=0)
    tokenizer: TokenizerRecipe = TokenizerRecipe()
    model: ModelRecipe
    corpora: dict[str, CorpusRecipe] = Field(min_length=1)
    optimizer: OptimizerRecipe
    schedule: ScheduleRecipe = ScheduleRecipe()
    train: TrainRecipe = TrainRecipe()
    phases: tuple[PhaseRecipe, ...] = Field(min_length=1)
    export: ExportRecipe = ExportRecipe()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        named = [*self.tokenizer.corpora, *(name for phase in self.phases for name in phase.mix)]
        for name in named:
            if name not in self.corpora:
                raise ValueError(f"there is no corpus {name!r}{_nearest(name, list(self.corpora))}")
        for phase in self.phases:
            if min(phase.mix.values()) <= 0:
                raise ValueError("what stands in a mix must be more than 0")
        if self.train.row > self.model.context:
            raise ValueError("train.row is longer than model.context")
        return self

    @property
    def fingerprint(self) -> str:
        """Differs where anything differs that the trained weights depend on."""
        said = self.model_dump(mode="json", exclude={"export": True, "train": {"checkpoint_every"}})
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def steps_of(self, phase: PhaseRecipe) -> int:
        return max(1, round(phase.tokens / (self.train.step_rows * self.train.row)))

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(self.steps_of(phase) for phase in self.phases)


def load_recipe(name: str) -> Recipe:
    """The recipe in a file, or one that ships by its name. Raises RecipeError."""
    file = Path(name).expanduser()
    if not file.is_file():
        file = SHIPPED / f"{name}{ENDING}"
    if not file.is_file():
        raise RecipeError(f"there is no recipe {name}: give a file, or one of {', '.join(shipped())}")
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is not valid TOML: {error}") from error
    try:
        return Recipe(**said)
    except ValidationError as error:
        raise RecipeError(f"{file}: {_explain(error)}") from error


def shipped() -> list[str]:
    """The names of the recipes that come with Chorus."""
    return sorted(file.stem for file in SHIPPED.glob(f"*{ENDING}"))


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, in a sentence; a misspelt key before the one that is missing for it."""
    wrong = error.errors(include_url=False, include_context=False)
    first = min(wrong, key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"] if part not in ("llama", "recurrent")]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        return f"{key} is unknown{_nearest(path[-1], list(_keys(Recipe)))}"
    if first["type"] == "missing":
        return f"{key} is missing"
    reason = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float) else ""
    return f"{key}: {reason[:1].lower()}{reason[1:]}{shown}" if key else reason


def _keys(part: Any) -> Iterator[str]:
    """Every name that may stand in a recipe."""
    if isinstance(part, type) and issubclass(part, BaseModel):
        for name, field in part.model_fields.items():
            yield name
            yield from _keys(field.annotation)
    for inner in get_args(part):
        yield from _keys(inner)


def _nearest(wrong: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]}?" if nearest else ""
