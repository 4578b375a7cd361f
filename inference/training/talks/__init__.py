"""Conversations that are made up, for a small model to learn from: everyday talk in many wordings.

Each kind of talk is a function that draws one conversation from a random generator, and from nothing else:
the same seed gives the same conversations. Knows nothing of tokens, recipes or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random

from inference.training.talks import (
    comparing,
    copying,
    facts,
    feelings,
    followups,
    greetings,
    groups,
    identity,
    jokes,
    limits,
    manners,
    news,
    opinions,
    personas,
    platforms,
    sums,
    words,
)
from inference.training.talks.wording import Talk

__all__ = ["TALKS", "Talk", "edition", "talks"]

TALKS: dict[str, Callable[[Random], Talk]] = {
    "comparing": comparing.talk,
    "copying": copying.talk,
    "facts": facts.talk,
    "feelings": feelings.talk,
    "followups": followups.talk,
    "greetings": greetings.talk,
    "groups": groups.talk,
    "identity": identity.talk,
    "jokes": jokes.talk,
    "limits": limits.talk,
    "manners": manners.talk,
    "news": news.talk,
    "opinions": opinions.talk,
    "personas": personas.talk,
    "platforms": platforms.talk,
    "sums": sums.talk,
    "words": words.talk,
}
"""By the name that a recipe gives."""

TRIES = 50  # draws in a row that may all be repeats before a kind of talk counts as told to its end


def talks(names: Sequence[str], count: int, seed: str) -> Iterator[Talk]:
    """As many conversations of these kinds, in turn, no two alike; fewer if there are no more to tell.

    Holds a mark of each, not the conversations. Raises KeyError for a name that is not in TALKS.
    """
    kinds = [(TALKS[name], Random(f"{seed} {name}")) for name in names]
    told: set[bytes] = set()
    while kinds:
        for kind in list(kinds):
            if len(told) >= count:
                return
            talk = _fresh(*kind, told)
            if talk is None:
                kinds.remove(kind)
            else:
                yield talk


def _fresh(tell: Callable[[Random], Talk], rng: Random, told: set[bytes]) -> Talk | None:
    """One that was not told yet, or None if none turns up."""
    for _ in range(TRIES):
        talk = tell(rng)
        mark = blake2b(repr(talk).encode(), digest_size=8).digest()
        if mark not in told:
            told.add(mark)
            return talk
    return None


def edition() -> str:
    """Differs where anything differs that the conversations are made of."""
    folder = Path(__file__).parent
    made_of = blake2b(digest_size=8)
    for file in sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".txt", ".toml")):
        made_of.update(file.relative_to(folder).as_posix().encode() + b"\n" + file.read_bytes())
    return made_of.hexdigest()
