"""Text of a growing list of tokens: whole characters, no part of a stop string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.local.detokenize import Detokenizer, StopStrings


def decode(tokens: list[int]) -> str:
    """A tokenizer in which every byte is a token."""
    return bytes(tokens).decode(errors="replace")


def test_a_character_of_several_tokens_comes_whole() -> None:
    text = Detokenizer(decode)
    assert [text.add(byte) for byte in "né👋".encode()] == ["n", "", "é", "", "", "", "👋"]


def test_half_a_character_at_the_end_is_marked_as_such() -> None:
    text = Detokenizer(decode)
    assert [text.add(byte) for byte in "é".encode()[:1]] == [""]
    assert text.flush() == "�"


@given(st.text())
def test_the_pieces_make_the_text(whole: str) -> None:
    text = Detokenizer(decode)
    pieces = [text.add(byte) for byte in whole.encode()] + [text.flush()]
    assert "".join(pieces) == whole


def test_text_before_a_stop_string_is_given_and_nothing_after() -> None:
    stop = StopStrings(["\nUser:"])
    assert [stop.add(piece) for piece in ("Hi", "\n", "Us", "er", ": more")] == ["Hi", "", "", "", ""]
    assert stop.hit


def test_what_only_began_like_a_stop_string_comes_later() -> None:
    stop = StopStrings(["\nUser:"])
    assert [stop.add(piece) for piece in ("Hi\nUs", "eful")] == ["Hi", "\nUseful"]
    assert not stop.hit


@given(
    st.lists(st.text("ab", max_size=4)),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_the_earliest_stop_string_cuts_however_the_pieces_fall(pieces: list[str], strings: list[str]) -> None:
    stop = StopStrings(strings)
    given_text = ""
    for piece in pieces:
        given_text += stop.add(piece)
        if stop.hit:
            break
    if not stop.hit:
        given_text += stop.flush()
    whole = "".join(pieces)
    found = [at for one in strings if (at := whole.find(one)) >= 0]
    assert stop.hit == bool(found)
    assert whole.startswith(given_text)
    assert not any(one in given_text for one in strings)
    if not found:
        assert given_text == whole
