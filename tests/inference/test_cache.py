"""The block manager: every block is in one state, whatever happens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.local.cache import BlockManager, BlockTable


def compute(blocks: BlockManager, tokens: list[int]) -> BlockTable:
    """What the scheduler does for a sequence: take the cached prefix, make room, commit."""
    table = blocks.acquire(tokens)
    assert blocks.reserve(table, len(tokens))
    blocks.commit(table, tokens, len(tokens))
    blocks.check_integrity()
    return table


def test_a_prefix_is_computed_once_for_everybody() -> None:
    blocks = BlockManager(total=8, size=4)
    first = compute(blocks, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    second = blocks.acquire([1, 2, 3, 4, 5, 6, 7, 8, 10])
    assert second.blocks == first.blocks[:2]


def test_the_last_token_is_always_left_to_be_computed() -> None:
    blocks = BlockManager(total=8, size=4)
    compute(blocks, [1, 2, 3, 4, 5, 6, 7, 8])
    assert len(blocks.acquire([1, 2, 3, 4, 5, 6, 7, 8])) == 1


def test_a_block_is_shared_only_with_all_that_comes_before_it() -> None:
    blocks = BlockManager(total=8, size=2)
    compute(blocks, [1, 2, 3, 4, 5])
    assert len(blocks.acquire([9, 9, 3, 4, 5])) == 0


def test_the_longest_unused_prefix_goes_first_and_from_its_end() -> None:
    blocks = BlockManager(total=4, size=2)
    old = compute(blocks, [1, 2, 3, 4])
    new = compute(blocks, [5, 6, 7, 8])
    blocks.release(old)
    blocks.release(new)
    assert blocks.cached == 4
    table = compute(blocks, [9, 9])
    assert len(blocks.acquire([1, 2, 3, 4, 0])) == 1, "the end of the old prefix went"
    assert len(blocks.acquire([5, 6, 7, 8, 0])) == 2, "the new prefix stayed"
    blocks.release(table)


def test_a_running_sequence_is_never_evicted() -> None:
    blocks = BlockManager(total=2, size=2)
    running = compute(blocks, [1, 2, 3, 4])
    assert not blocks.reserve(BlockTable(), 2)
    assert running.blocks == [0, 1]
    blocks.check_integrity()


def test_two_that_computed_the_same_end_up_with_one_copy() -> None:
    blocks = BlockManager(total=4, size=2)
    first, second = blocks.acquire([1, 2, 3]), blocks.acquire([1, 2, 3])
    for table in (first, second):
        assert blocks.reserve(table, 3)
    for table in (first, second):
        blocks.commit(table, [1, 2, 3], 2)
    assert first.blocks[0] == second.blocks[0]
    assert (blocks.held, blocks.free) == (3, 1)
    blocks.check_integrity()


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 3),
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.integers(0, 1), min_size=1, max_size=10), st.booleans()),
        max_size=40,
    ),
)
def test_no_block_is_lost_or_doubled(total: int, size: int, steps: list[tuple[int, list[int], bool]]) -> None:
    """Six slots of sequences, on three topics, come, grow and go in any order, and topics are forgotten."""
    blocks = BlockManager(total, size)
    running: dict[int, tuple[BlockTable, list[int]]] = {}
    for slot, tokens, forgotten in steps:
        topic = str(slot % 3)
        if forgotten:
            blocks.forget(topic)
        if slot in running:
            table, old = running.pop(slot)
            grown = old + tokens
            if len(tokens) % 2 and blocks.reserve(table, len(grown)):
                blocks.commit(table, grown, len(grown))
                running[slot] = (table, grown)
            else:
                blocks.release(table)
        else:
            table = blocks.acquire(tokens, topic)
            if blocks.reserve(table, len(tokens)):
                blocks.commit(table, tokens, len(tokens))
                running[slot] = (table, tokens)
            else:
                blocks.release(table)
        blocks.check_integrity()
    for table, _ in running.values():
        blocks.release(table)
    blocks.clear()
    blocks.check_integrity()
    assert blocks.free == total
