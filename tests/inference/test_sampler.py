"""From logits to tokens: each row by its own parameters, and by nothing else."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from inference import SamplingParams
from inference.local.sampler import sample
from inference.local.sequence import Decoding, Sequence

PLAIN = Decoding(temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0)


def sequence(prompt: list[int] | None = None, *, seed: int = 0, **params: float) -> Sequence:
    decoding = Decoding.resolve(SamplingParams(**params), PLAIN)  # type: ignore[arg-type]  ints among floats
    return Sequence("one", prompt or [], max_output=10, decoding=decoding, seed=seed)


def draw(logits: list[float], count: int = 4000, **params: float) -> Counter[int]:
    one = sequence(**params)
    return Counter(sample(torch.tensor([logits]), [one])[0] for _ in range(count))


def test_temperature_zero_takes_the_likeliest() -> None:
    assert sample(torch.tensor([[0.0, 3.0, 1.0]]), [sequence(temperature=0)]) == [1]


def test_tokens_are_drawn_by_their_probability() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().tolist()
    counts = draw(logits)
    assert counts[0] / 4000 == pytest.approx(0.5, abs=0.04)
    assert counts[2] / 4000 == pytest.approx(0.2, abs=0.04)


def test_temperature_flattens() -> None:
    logits = torch.tensor([0.9, 0.1]).log().tolist()
    assert (
        draw(logits, temperature=5.0)[1] > draw(logits, temperature=1.0)[1] > draw(logits, temperature=0.5)[1]
    )


def test_top_k_leaves_the_k_likeliest() -> None:
    assert set(draw([5.0, 4.0, 3.0, 2.0, 1.0], top_k=2, temperature=10.0)) == {0, 1}


def test_top_p_leaves_the_fewest_that_reach_it() -> None:
    logits = torch.tensor([0.6, 0.25, 0.1, 0.05]).log().tolist()
    assert set(draw(logits, top_p=0.5)) == {0}
    assert set(draw(logits, top_p=0.8)) == {0, 1}


def test_top_p_is_exact_when_many_tokens_are_needed_to_reach_it() -> None:
    logits = [0.0] * 5000  # all alike: 0.9 needs 4500 of them, more than the first look takes
    assert len(draw(logits, count=2500, top_p=0.9)) > 1500


def test_a_repetition_penalty_makes_what_was_said_less_likely() -> None:
    logits = torch.tensor([[2.0, 1.5, -1.0]])
    assert sample(logits.clone(), [sequence([0], temperature=0)]) == [0]
    assert sample(logits.clone(), [sequence([0], temperature=0, repetition_penalty=2.0)]) == [1]


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    params = [{"temperature": 0}, {"top_k": 5}, {"top_p": 0.7}, {"repetition_penalty": 1.3}]
    alone = [
        sample(logits[i : i + 1].clone(), [sequence([3], seed=i, **one)])[0] for i, one in enumerate(params)
    ]
    together = sample(logits.clone(), [sequence([3], seed=i, **one) for i, one in enumerate(params)])
    assert together == alone


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"max_tokens": 0},
        {"repetition_penalty": 0},
        {"stop": "text"},
        {"stop": ("",)},
    ],
)
def test_values_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplingParams(**wrong)  # type: ignore[arg-type]  wrong on purpose
