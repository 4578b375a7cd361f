"""From logits to tokens: each row by its own parameters, and by nothing else."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from inference import SamplingParams
from inference.local.sampler import beam_candidates, choose
from inference.local.sequence import Decoding, Sequence

PLAIN = Decoding(temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0)


def sequence(prompt: list[int] | None = None, *, seed: int = 0, **params: float) -> Sequence:
    decoding = Decoding.resolve(SamplingParams(**params), PLAIN)  # type: ignore[arg-type]  ints among floats
    return Sequence("one", prompt or [], max_output=10, decoding=decoding, seed=seed)


def pick(logits: list[float], one: Sequence) -> int:
    return choose(torch.tensor(logits), one)[0]


def draw(logits: list[float], count: int = 4000, **params: float) -> Counter[int]:
    one = sequence(**params)
    return Counter(pick(logits, one) for _ in range(count))


def test_temperature_zero_takes_the_likeliest() -> None:
    assert pick([0.0, 3.0, 1.0], sequence(temperature=0)) == 1


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
    logits = [2.0, 1.5, -1.0]
    assert pick(logits, sequence([0], temperature=0)) == 0
    assert pick(logits, sequence([0], temperature=0, repetition_penalty=2.0)) == 1


def test_a_presence_penalty_counts_the_output_and_not_the_prompt() -> None:
    one = sequence([0], temperature=0, presence_penalty=1.0)
    assert pick([2.0, 1.5, 0.0], one) == 0
    one.tokens.append(0)
    assert pick([2.0, 1.5, 0.0], one) == 1


def test_a_logit_bias_is_added() -> None:
    biased = sequence(temperature=0, logit_bias={2: 5.0, 10_000: 1.0})
    assert pick([2.0, 1.5, 0.0], biased) == 2


def test_min_p_leaves_what_is_likely_enough_beside_the_likeliest() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    assert set(draw(logits, min_p=0.5)) == {0, 1}
    assert set(draw(logits, min_p=0.25)) == {0, 1, 2}


def test_log_probabilities_are_the_models_own() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2])
    one = sequence([0], temperature=0, logprobs=2, repetition_penalty=100.0)
    token, logprob = choose(probabilities.log(), one)
    assert logprob is not None
    assert logprob.token == token
    assert logprob.logprob == pytest.approx(float(probabilities[token].log()))
    assert [candidate for candidate, _ in logprob.top] == [0, 1]


def test_choosing_leaves_the_logits_as_they_are() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0])
    choose(logits, sequence([0], temperature=0.5, repetition_penalty=2.0, logit_bias={1: 3.0}))
    assert logits.tolist() == [2.0, 1.0, 0.0]


def test_a_beam_is_offered_the_likeliest_tokens_in_order() -> None:
    candidates = beam_candidates(torch.tensor([0.2, 0.5, 0.3]).log(), 2)
    assert [token for token, _ in candidates] == [1, 2]
    assert candidates[0][1] == pytest.approx(-0.6931, abs=1e-3)


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
        {"min_p": 2},
        {"logprobs": 21},
        {"beam_width": 0},
    ],
)
def test_values_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplingParams(**wrong)  # type: ignore[arg-type]  wrong on purpose
