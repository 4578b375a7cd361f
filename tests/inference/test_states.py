"""The states' manager: every block is in one state, a text's states are few, and the right ones stay."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.local.states import LATEST, StateManager, StateTable

SIZE = 4


def read(states: StateManager, table: StateTable, tokens: list[int], most: int = 1000) -> list[int]:
    """What the scheduler does until all tokens are computed: where each step ended."""
    computed, ends = states.prefix(table), []
    while computed < len(tokens):
        count = states.chunk(table, computed, min(most, len(tokens) - computed))
        assert 1 <= count <= most
        assert states.reserve(table, computed + count)
        states.check_integrity()
        computed += count
        states.commit(table, tokens, computed)
        states.check_integrity()
        ends.append(computed)
    return ends


def turn(states: StateManager, said: list[int], answer: list[int]) -> tuple[list[int], int]:
    """A prompt, and an answer token by token: all that was said then, and what was found of the prompt."""
    table = states.acquire(said)
    found = states.prefix(table)
    read(states, table, said)
    text = list(said)
    for token in answer:
        text.append(token)
        assert states.reserve(table, len(text))
        states.commit(table, text, len(text))
        states.check_integrity()
    states.release(table)
    return text, found


def words(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


def test_an_answer_goes_on_from_where_its_prompt_ended() -> None:
    states = StateManager(total=8, size=SIZE)
    text, found = turn(states, words(0, 10), words(100, 7))
    assert found == 0
    _, found = turn(states, [*text, *words(200, 3)], words(300, 2))
    assert found == 16, "the answer's last whole block"


def test_the_last_token_is_always_left_to_be_computed() -> None:
    states = StateManager(total=8, size=SIZE)
    for expected in (0, 4, 4):
        _, found = turn(states, words(0, 8), [])
        assert found == expected


def test_an_answer_can_be_asked_for_again_and_the_last_question_be_changed() -> None:
    states = StateManager(total=20, size=SIZE)
    text: list[int] = []
    for number in range(9):
        prompt = [*text, *words(100 * number, 10)]
        text, _ = turn(states, prompt, words(100 * number + 50, 10))
    _, again = turn(states, prompt, words(7000, 4))
    assert again == (len(prompt) - 1) // SIZE * SIZE
    changed = [*prompt[:-10], *words(8000, 10)]
    _, found = turn(states, changed, [])
    assert found == len(prompt[:-10]) // SIZE * SIZE


@pytest.mark.parametrize("turns", [5, 50, 500])
def test_a_conversation_keeps_equally_much_however_long_it_is(turns: int) -> None:
    states = StateManager(total=2000, size=SIZE)
    text: list[int] = []
    for number in range(turns):
        text, found = turn(states, [*text, *words(100 * number, 9)], words(100 * number + 50, 7))
        assert found >= len(text) - 9 - 7 - SIZE
    assert states.cached == LATEST


def test_a_long_prompt_leaves_one_state_behind() -> None:
    states = StateManager(total=2000, size=SIZE)
    table = states.acquire(words(0, 4001))
    ends = read(states, table, words(0, 4001), most=25)
    assert states.held + states.cached == 2, "the state where it would be asked again, and its own"
    assert all(end % SIZE == 0 for end in ends[:-1]), "it could have gone on from there"
    states.release(table)
    assert states.cached == 1


def test_what_conversations_have_in_common_is_computed_once_from_the_third_on() -> None:
    states = StateManager(total=100, size=SIZE)
    system = words(0, 18)
    found = [turn(states, [*system, *words(100 * n, 9)], words(100 * n + 50, 3))[1] for n in range(1, 6)]
    assert found == [0, 0, 16, 16, 16]


def test_what_parts_is_noticed_though_a_sequence_had_to_wait() -> None:
    states = StateManager(total=100, size=SIZE)
    turn(states, [*words(0, 18), *words(100, 9)], [])
    second = [*words(0, 18), *words(200, 9)]
    for _ in range(3):
        states.release(states.acquire(second))
    turn(states, second, [])
    assert turn(states, [*words(0, 18), *words(300, 9)], [])[1] == 16


def test_the_longest_unused_state_goes_first() -> None:
    states = StateManager(total=3, size=SIZE)
    turn(states, words(0, 6), [])
    turn(states, words(100, 6), [])
    assert turn(states, words(0, 6), [])[1] == 4
    turn(states, words(200, 6), [])
    assert turn(states, words(100, 6), [])[1] == 0


def test_a_state_that_a_step_reads_is_never_evicted() -> None:
    states = StateManager(total=2, size=SIZE)
    turn(states, words(0, 6), [])
    table = states.acquire(words(0, 6))
    assert states.prefix(table) == 4
    other = states.acquire(words(100, 6))
    assert states.has_room(table, 6)
    assert states.reserve(table, 6)
    assert not states.has_room(other, 6)
    assert not states.reserve(other, 6)
    assert len(set(table.blocks)) == 2
    states.commit(table, words(0, 6), 6)
    assert len(table.blocks) == 1, "what was read has done its service"


def test_a_fork_goes_on_by_itself() -> None:
    states = StateManager(total=6, size=SIZE)
    table = states.acquire(words(0, 6))
    read(states, table, words(0, 6))
    forked = states.fork(table)
    assert forked is not None
    other, copies = forked
    assert copies == [(table.blocks[-1], other.blocks[-1])]
    read_on = [*words(0, 6), 7, 8]
    for one in (table, other):
        assert states.reserve(one, 8)
        states.commit(one, read_on, 8)
    forked = states.fork(other)
    assert forked is not None
    assert forked[1] == [], "a state that is kept needs no copy"
    for one in (table, other, forked[0]):
        states.release(one)
    states.check_integrity()
    assert states.held == 0


def test_what_is_forgotten_is_not_found_again() -> None:
    states = StateManager(total=8, size=SIZE)
    text = words(0, 10)
    running = states.acquire(text, "alice")
    read(states, running, text)
    states.forget("alice")
    assert turn(states, text, [])[1] == 0
    states.forget("alice")
    states.release(running)
    states.check_integrity()


def test_two_blocks_are_the_least() -> None:
    with pytest.raises(ValueError, match="two blocks"):
        StateManager(total=1, size=SIZE)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(2, 12),
    st.integers(1, 3),
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.integers(0, 1), min_size=1, max_size=10), st.booleans()),
        max_size=40,
    ),
)
def test_no_block_is_lost_or_doubled(total: int, size: int, steps: list[tuple[int, list[int], bool]]) -> None:
    """Six slots of sequences, on three topics, come, grow, fork and go in any order; topics are forgotten."""
    states = StateManager(total, size)
    running: dict[int, tuple[StateTable, list[int]]] = {}
    for slot, tokens, odd in steps:
        if odd and slot % 2:
            states.forget(str(slot % 3))
        if slot not in running:
            running[slot] = (states.acquire(tokens, str(slot % 3)), tokens)
        table, text = running.pop(slot)
        computed = states.prefix(table) if len(text) == len(tokens) else len(text)
        text = text if text is tokens else [*text, *tokens]
        while computed < len(text):
            count = states.chunk(table, computed, len(text) - computed)
            if not states.reserve(table, computed + count):
                break
            computed += count
            states.commit(table, text, computed)
            states.check_integrity()
        if computed < len(text) or (odd and len(tokens) % 2):
            states.release(table)
        else:
            if odd and (forked := states.fork(table)) is not None:
                states.release(forked[0])
            running[slot] = (table, text)
        states.check_integrity()
    for table, _ in running.values():
        states.release(table)
    states.clear()
    states.check_integrity()
    assert states.free == total
