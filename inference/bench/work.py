"""What is asked of a server: conversations of random tokens that share a system prompt. Knows no server."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """`conversations` at once, each of `turns` questions; the other lengths are in tokens.

    A turn's prompt is all that was said before, answers included, and a new question. `history` tokens, each
    conversation's own, stand between the system prompt and the first question; servers may compute them
    before the clock starts. The same `seed` asks the same questions. Token ids are below `vocabulary`.
    """

    vocabulary: int
    conversations: int = 1
    turns: int = 4
    system: int = 200
    history: int = 0
    question: int = 30
    answer: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.vocabulary, self.conversations, self.turns, self.system, self.question, self.answer) < 1:
            raise ValueError("conversations, turns and every length but the history's are at least 1")
        if self.history < 0:
            raise ValueError("a history has 0 tokens or more")

    @property
    def context_length(self) -> int:
        """Tokens of a conversation at its end."""
        return self.system + self.history + self.turns * (self.question + self.answer)

    def opening(self, conversation: int) -> list[int]:
        """The shared system prompt and the conversation's own history."""
        return self._tokens("system", self.system) + self._tokens(f"history {conversation}", self.history)

    def ask(self, conversation: int, turn: int) -> list[int]:
        """The new tokens of a turn."""
        return self._tokens(f"question {conversation} {turn}", self.question)

    def warm_up(self) -> list[int]:
        """A prompt of which no conversation has any part."""
        return self._tokens("warm-up", self.system)

    def _tokens(self, name: str, count: int) -> list[int]:
        choose = random.Random(f"{self.seed} {name}")  # seeded by text: the same on every machine
        return [choose.randrange(self.vocabulary) for _ in range(count)]
