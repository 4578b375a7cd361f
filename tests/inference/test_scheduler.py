"""Which sequences compute what, and in which order: no tensors involved."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.local.cache import BlockManager
from inference.local.scheduler import Scheduler
from inference.local.sequence import Decoding, PromptLookup, Sequence

GREEDY = Decoding(temperature=0, top_p=1, top_k=0, repetition_penalty=1)
BLOCK = 4


def sequence(
    name: str, length: int, *, client: str = "", priority: int = 0, output: int = 4, first: int = 0
) -> Sequence:
    prompt = list(range(first, first + length))
    return Sequence(name, prompt, max_output=output, decoding=GREEDY, client=client, priority=priority)


def scheduler(
    *, blocks: int = 100, max_running: int = 8, step_tokens: int = 16, speculate: int = 0
) -> Scheduler:
    return Scheduler(
        BlockManager(blocks, BLOCK), max_running=max_running, step_tokens=step_tokens, speculate=speculate
    )


def step(one: Scheduler) -> list[tuple[str, int]]:
    """A step with a model that always says 0: who computed how many tokens."""
    plan = one.plan()
    for scheduled in plan:
        sampled = scheduled.samples
        one.complete(scheduled)
        if sampled:
            scheduled.sequence.tokens.append(0)
            if scheduled.sequence.output_length == scheduled.sequence.max_output:
                one.remove(scheduled.sequence)
    one.blocks.check_integrity()
    return [(scheduled.sequence.request_id, scheduled.count) for scheduled in plan]


def finish(one: Scheduler) -> list[str]:
    """Run until idle: the order in which requests ended."""
    ended: list[str] = []
    for _ in range(10_000):
        before = {entry.request_id for entry in (*one.running, *one.waiting)}
        if not before:
            return ended
        step(one)
        ended += sorted(before - {entry.request_id for entry in (*one.running, *one.waiting)})
    raise AssertionError("it does not end")


def test_a_long_prompt_is_computed_in_chunks_beside_running_answers() -> None:
    one = scheduler()
    one.add(sequence("short", 3, output=9))
    assert step(one) == [("short", 3)]
    one.add(sequence("long", 40, first=100))
    assert step(one) == [("short", 1), ("long", 15)]
    assert step(one) == [("short", 1), ("long", 15)]
    assert step(one) == [("short", 1), ("long", 10)]
    assert step(one) == [("short", 1), ("long", 1)]


def test_nobody_waits_on_one_persons_ten_long_requests() -> None:
    one = scheduler(max_running=2, step_tokens=8)
    for number in range(10):
        one.add(sequence(f"greedy {number}", 60, client="greedy", first=1000 * number))
    step(one)
    one.add(sequence("guest", 6, client="guest", first=50_000))
    order = finish(one)
    assert order.index("guest") <= 1


def test_clients_take_turns_by_what_they_were_served() -> None:
    one = scheduler(max_running=1, step_tokens=64)
    for number in range(4):
        one.add(sequence(f"a{number}", 40, client="a", first=1000 * number))
    for number in range(4):
        one.add(sequence(f"b{number}", 10, client="b", first=1000 * number + 500))
    order = finish(one)
    assert order.index("b3") < order.index("a2"), "four short requests cost less than two long ones"


def test_time_away_earns_no_credit() -> None:
    one = scheduler(max_running=1, step_tokens=64)
    for number in range(3):
        one.add(sequence(f"a{number}", 40, client="a", first=1000 * number))
    for _ in range(6):
        step(one)
    for number in range(3):
        one.add(sequence(f"late{number}", 40, client="late", first=1000 * number + 500))
    order = finish(one)
    assert order.index("a2") < order.index("late2")


def test_a_higher_priority_goes_first() -> None:
    one = scheduler(max_running=1)
    one.add(sequence("running", 4))
    step(one)
    one.add(sequence("normal", 4, first=100))
    one.add(sequence("urgent", 4, first=200, priority=1))
    assert finish(one) == ["running", "urgent", "normal"]


def test_when_blocks_run_out_the_newest_gives_way_and_both_end() -> None:
    one = scheduler(blocks=6, step_tokens=64)
    one.add(sequence("first", 8, output=12))
    one.add(sequence("second", 8, output=12, first=100))
    assert set(finish(one)) == {"first", "second"}
    assert one.preemptions > 0


def test_a_guess_rides_along_only_while_few_run() -> None:
    one = scheduler(speculate=3)
    alone = Sequence("alone", [1, 2, 3, 4, 9, 1, 2], max_output=50, decoding=GREEDY)
    alone.lookup = PromptLookup()
    one.add(alone)
    [scheduled] = one.plan()
    assert scheduled.draft == []
    one.complete(scheduled)
    alone.tokens.append(3)
    [scheduled] = one.plan()
    assert (scheduled.count, scheduled.draft) == (1, [4, 9, 1])
    for number in range(2):
        one.add(sequence(f"other {number}", 4, first=100 * number + 100))
    assert all(not scheduled.draft for scheduled in one.plan())


def test_guesses_that_keep_being_wrong_become_rare() -> None:
    lookup = PromptLookup()
    tokens = [1, 2, 3, 4] * 5
    guesses = 0
    for _ in range(40):
        if proposed := lookup.propose(tokens, 3):
            guesses += 1
            lookup.learn(len(proposed), 0)
    assert 4 < guesses < 14


@settings(max_examples=150, deadline=None)
@given(
    st.integers(8, 30),
    st.integers(1, 4),
    st.integers(1, 20),
    st.lists(
        st.tuples(
            st.integers(1, 24), st.integers(1, 8), st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_everything_ends_and_no_block_is_lost(
    blocks: int, max_running: int, step_tokens: int, requests: list[tuple[int, int, int, int, int]]
) -> None:
    """Any mix of lengths, clients and priorities, arriving at any step."""
    one = scheduler(blocks=blocks, max_running=max_running, step_tokens=step_tokens)
    for number, (length, output, client, priority, pause) in enumerate(requests):
        one.add(
            sequence(
                str(number), length, client=str(client), priority=priority, output=output, first=number % 3
            )
        )
        for _ in range(pause):
            step(one)
    finish(one)
    assert one.blocks.held == 0
