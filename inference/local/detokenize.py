"""Token ids to text, piece by piece: never half a character, never part of a stop string.

Knows nothing of models or sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]
"""Token ids to text, special tokens left out; bytes that are no UTF-8 become U+FFFD."""

REPLACEMENT = "�"


class Detokenizer:
    """Text of a growing list of tokens.

    What a token reads as can depend on those before it (spaces, characters of several tokens), so a window of
    recent tokens is decoded twice, with and without the new one, and the difference is the news. It is held
    back while it ends in an unfinished character.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._settled = 0  # tokens at the front of the window whose text has been given

    def add(self, token: int) -> str:
        """The text that is certain now. May be empty."""
        self._window.append(token)
        before = self._decode(self._window[: self._settled])
        after = self._decode(self._window)
        if after.endswith(REPLACEMENT) or len(after) <= len(before):
            return ""
        news = after[len(before) :]
        self._window = self._window[self._settled :]
        self._settled = len(self._window)
        return news

    def flush(self) -> str:
        """What was held back; half characters become U+FFFD."""
        before = self._decode(self._window[: self._settled])
        after = self._decode(self._window)
        self._settled = len(self._window)
        return after[len(before) :]


class StopStrings:
    """Holds back text that could become a stop string, and cuts the text before one that does."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.hit = False

    def add(self, text: str) -> str:
        """The text that is surely no part of a stop string. Sets `hit` when one was met."""
        if not self._stop:
            return text
        self._held += text
        found = [at for one in self._stop if (at := self._held.find(one)) >= 0]
        if found:
            self.hit = True
            given, self._held = self._held[: min(found)], ""
            return given
        keep = max(self._overlap(one) for one in self._stop)
        given = self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return given

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        given, self._held = self._held, ""
        return given

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text with which `stop` begins."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
