"""The KV cache's bookkeeping: which block belongs to whom. Knows nothing of tensors or models.

`Cache` is what a scheduler asks of any cache: `BlockManager` keeps transformers' keys and values here,
`states.StateManager` the states of recurrent models.

The pool is `total` blocks of `size` tokens each. A block is in exactly one of three states:

    free     nobody needs what it holds
    held     at least one running sequence reads or writes it
    cached   no sequence runs on it, but the prefix tree remembers which tokens it holds

    free + held + cached = total, always (`check_integrity`).

The prefix tree's nodes are full blocks: a path from the root spells the tokens of a prefix, so two sequences
that begin with the same tokens share the blocks of what they have in common. A sequence holds every node on
its path; therefore a node that is held has only held ancestors, and eviction can go from the leaves.

What is evicted can be kept elsewhere, in a `Spill`, and comes back from there when its prefix is asked for
again: the tree goes on where it was. What belongs to a topic that was forgotten is kept nowhere.

Everything here belongs to the model thread; nothing is locked.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary


class Topic:
    """What requests are about. Once it is `forgotten`, whatever was computed for it is no longer kept; who
    asks about the same again gets another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.forgotten = False


NO_TOPIC = Topic("")


class Spill(Protocol):
    """Where blocks' contents go when they are evicted. `key` stands for a block and all before it."""

    def has(self, key: bytes) -> bool: ...

    def save(self, key: bytes, block: int, topic: str) -> None:
        """Keep a block's contents; it will be written over when this returns. May decline."""
        ...

    def forget(self, topic: str) -> None:
        """Keep nothing of what was saved for a topic."""
        ...

    def load(self, key: bytes, block: int) -> bool:
        """Bring contents back into a block. False if they can't be had after all."""
        ...


class Table(Protocol):
    """What one sequence holds of a cache."""

    @property
    def blocks(self) -> list[int]:
        """As its next `row.Row` has them."""
        ...


T = TypeVar("T", bound=Table)


class Cache(Protocol[T]):
    """Hands out the blocks of a pool and remembers prefixes: free + held + cached = total, always."""

    @property
    def total(self) -> int: ...

    @property
    def free(self) -> int: ...

    @property
    def held(self) -> int: ...

    @property
    def cached(self) -> int: ...

    def acquire(self, tokens: Sequence[int], topic: str = "") -> T:
        """A table that already holds the longest cached prefix of `tokens`, but never all of them: the last
        token is always left to be computed, because its logits are wanted."""
        ...

    def prefix(self, table: T) -> int:
        """How many tokens of a table just acquired need not be computed."""
        ...

    def has_room(self, table: T, length: int) -> bool:
        """Whether a table just acquired could grow to `length` tokens now, evicting all that is cached."""
        ...

    def chunk(self, table: T, computed: int, count: int) -> int:
        """How many of the `count` tokens behind the first `computed` to compute in one step: one or more."""
        ...

    def reserve(self, table: T, length: int) -> bool:
        """Give `table` what it needs until it has `length` tokens, evicting what is cached if need be. False
        if there is not enough; then nothing has changed but what was evicted."""
        ...

    def commit(self, table: T, tokens: Sequence[int], computed: int) -> None:
        """A step has computed the table's tokens up to `computed`; from now on others can share them."""
        ...

    def fork(self, table: T) -> tuple[T, list[tuple[int, int]]] | None:
        """A second table over the same tokens, and the copies that the caller has to make for it: (source,
        target) block numbers. None if there are not enough blocks."""
        ...

    def release(self, table: T) -> None:
        """The sequence has ended or been preempted: what can be shared stays cached, the rest is free."""
        ...

    def clear(self) -> None:
        """Forget every prefix that no sequence runs on."""
        ...

    def spill_newest(self, count: int) -> None:
        """Hand the `count` blocks used last to the spill, because the pool is about to go."""
        ...

    def forget(self, topic: str) -> None:
        """Keep nothing of what was computed for a topic: what nobody runs on is free at once, the rest is not
        spilled when its time comes."""
        ...

    def check_integrity(self) -> None:
        """Raises AssertionError unless every block is in exactly one state and every count is right."""
        ...


class Node:
    """A full block in the prefix tree. `tokens` are the block's own; the path gives those before. `topic` is
    that of a request that has these tokens."""

    __slots__ = ("_key", "block", "children", "holders", "last_used", "parent", "tokens", "topic")

    def __init__(self, block: int, tokens: tuple[int, ...], parent: Node | None, topic: Topic) -> None:
        self._key: bytes | None = b"" if parent is None else None
        self.block = block
        self.tokens = tokens
        self.parent = parent
        self.children: dict[tuple[int, ...], Node] = {}
        self.holders = 0  # sequences that run on this block
        self.last_used = 0  # the manager's logical time
        self.topic = topic

    @property
    def key(self) -> bytes:
        """A digest of all tokens from the root to here."""
        if self._key is None:
            assert self.parent is not None
            self._key = chain(self.parent.key, self.tokens)
        return self._key


def chain(before: bytes, tokens: Sequence[int]) -> bytes:
    """The key of a block with these tokens behind the block with key `before`."""
    return hashlib.blake2b(before + array("q", tokens).tobytes(), digest_size=20).digest()


class BlockTable:
    """The blocks of one sequence, in order: first `nodes` (in the tree, shared, full), then private ones."""

    __slots__ = ("nodes", "private", "topic")

    def __init__(self, topic: Topic = NO_TOPIC) -> None:
        self.topic = topic
        self.nodes: list[Node] = []
        self.private: list[int] = []

    @property
    def blocks(self) -> list[int]:
        return [node.block for node in self.nodes] + self.private

    def __len__(self) -> int:
        return len(self.nodes) + len(self.private)


class BlockManager:
    """Hands out blocks, remembers prefixes, evicts the longest unused."""

    def __init__(self, total: int, size: int, spill: Spill | None = None) -> None:
        if total < 1 or size < 1:
            raise ValueError("a block pool has at least one block of at least one token")
        self.total = total
        self.size = size  # tokens a block
        self._free = list(range(total - 1, -1, -1))  # taken from the end: low numbers first
        self._root = Node(-1, (), None, NO_TOPIC)
        self._idle: list[tuple[int, int, Node]] = []  # heap of leaves that may be evicted; stale entries too
        self._cached = 0
        self._held = 0
        self._time = 0
        self._spill = spill
        self._topics: WeakValueDictionary[str, Topic] = WeakValueDictionary()  # that something is kept of

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def cached(self) -> int:
        return self._cached

    @property
    def held(self) -> int:
        return self._held

    def acquire(self, tokens: Sequence[int], topic: str = "") -> BlockTable:
        """A table that already holds the longest cached prefix of `tokens`, but never all of them: the last
        token is always left to be computed, because its logits are wanted."""
        table = BlockTable(self._topic(topic))
        node = self._root
        for start in range(0, len(tokens) - self.size, self.size):
            wanted = tuple(tokens[start : start + self.size])
            child = node.children.get(wanted) or self._restore(node, wanted, table.topic)
            if child is None:
                break
            self._join(table, child)
            node = child
        return table

    def prefix(self, table: BlockTable) -> int:
        """See `Cache.prefix`."""
        return len(table.nodes) * self.size

    def has_room(self, table: BlockTable, length: int) -> bool:
        """See `Cache.has_room`."""
        return self._missing(table, length) <= self.free + self.cached

    def chunk(self, table: BlockTable, computed: int, count: int) -> int:
        """See `Cache.chunk`: wherever a chunk ends, its full blocks can be shared."""
        return count

    def fork(self, table: BlockTable) -> tuple[BlockTable, list[tuple[int, int]]] | None:
        """A second table over the same tokens: full blocks are shared, the others get copies, which the
        caller has to make: (source, target) block numbers. None if there are not enough blocks."""
        other = BlockTable(table.topic)
        for node in table.nodes:
            self._hold(node)
            other.nodes.append(node)
        if not self.reserve(other, len(table) * self.size):
            self.release(other)
            return None
        return other, list(zip(table.private, other.private, strict=True))

    def reserve(self, table: BlockTable, length: int) -> bool:
        """Give `table` room for `length` tokens in all, evicting what is cached if need be. False if there is
        not enough; then nothing has changed but what was evicted."""
        missing = self._missing(table, length)
        while len(self._free) < missing:
            if not self._evict():
                return False
        for _ in range(missing):
            table.private.append(self._free.pop())
            self._held += 1
        return True

    def commit(self, table: BlockTable, tokens: Sequence[int], computed: int) -> None:
        """Put the blocks that the first `computed` tokens fill into the tree, so that others can share them.
        Where the tree has such a block already, the table goes over to it and its own becomes free."""
        node = table.nodes[-1] if table.nodes else self._root
        while (len(table.nodes) + 1) * self.size <= computed:
            start = len(table.nodes) * self.size
            key = tuple(tokens[start : start + self.size])
            block = table.private.pop(0)
            self._held -= 1
            child = node.children.get(key)
            if child is None:
                child = node.children[key] = Node(block, key, node, table.topic)
                self._cached += 1
            else:
                self._free.append(block)
            self._join(table, child)
            node = child

    def release(self, table: BlockTable) -> None:
        """The sequence has ended or been preempted: its full blocks stay cached, the others become free."""
        self._free.extend(table.private)
        self._held -= len(table.private)
        table.private.clear()
        self._time += 1
        while table.nodes:
            node = table.nodes.pop()
            node.holders -= 1
            node.last_used = self._time
            if node.holders == 0:
                self._held -= 1
                self._cached += 1
                self._offer(node)

    def clear(self) -> None:
        """Forget every prefix that no sequence runs on."""
        while self._evict():
            pass

    def spill_newest(self, count: int) -> None:
        """Hand the `count` blocks used last to the spill, because the pool is about to go. No block is used
        later than the one before it, so whole paths are kept."""
        if self._spill is None or count < 1:
            return
        for node in sorted(self._walk(), key=lambda one: one.last_used)[-count:]:
            self._keep(node)

    def forget(self, topic: str) -> None:
        """Keep nothing of what was computed for a topic: what nobody runs on is free at once, the rest is not
        spilled when its time comes. Others who have the same tokens compute them again."""
        found = self._topics.pop(topic, None)
        if found is not None:
            found.forgotten = True
            for node in reversed(list(self._walk())):  # a node comes after its children
                if node.topic is found and not node.children and node.holders == 0:
                    self._drop(node)
        if self._spill is not None:
            self._spill.forget(topic)

    def check_integrity(self) -> None:
        """Raises AssertionError unless every block is in exactly one state and every count is right."""
        nodes = list(self._walk())
        held_nodes = [node for node in nodes if node.holders]
        private = self._held - len(held_nodes)
        assert private >= 0, "more nodes are held than blocks"
        assert self._cached == len(nodes) - len(held_nodes), "the count of cached blocks is wrong"
        assert self.free + self.held + self.cached == self.total, "blocks were lost or doubled"
        known = [*self._free, *(node.block for node in nodes)]
        assert len(set(known)) == len(known), "a block is in two places"
        for node in held_nodes:
            assert node.parent is self._root or (node.parent and node.parent.holders), "a held path has a gap"

    def _topic(self, name: str) -> Topic:
        return self._topics.setdefault(name, Topic(name)) if name else NO_TOPIC

    def _join(self, table: BlockTable, node: Node) -> None:
        """Let a table go on with a node, which is its topic's own where that of another was forgotten."""
        self._hold(node)
        table.nodes.append(node)
        if node.topic.forgotten:
            node.topic = table.topic

    def _missing(self, table: BlockTable, length: int) -> int:
        return -(-length // self.size) - len(table)

    def _hold(self, node: Node) -> None:
        if node.holders == 0:
            self._cached -= 1
            self._held += 1
        node.holders += 1

    def _offer(self, node: Node) -> None:
        """Let a leaf that nobody holds be evicted when its time comes."""
        if not node.children and node.holders == 0:
            heapq.heappush(self._idle, (node.last_used, node.block, node))

    def _evict(self) -> bool:
        """Free the longest unused leaf. False if there is none."""
        while self._idle:
            last_used, _, node = heapq.heappop(self._idle)
            gone = node.parent is None or node.parent.children.get(node.tokens) is not node
            if gone or node.holders or node.children or node.last_used != last_used:
                continue  # used again since it was offered
            self._keep(node)
            self._drop(node)
            return True
        return False

    def _keep(self, node: Node) -> None:
        """Hand a block to the spill, unless it is there already."""
        if self._spill is not None and not node.topic.forgotten and not self._spill.has(node.key):
            self._spill.save(node.key, node.block, node.topic.name)

    def _drop(self, node: Node) -> None:
        """Free a leaf that nobody holds."""
        assert node.parent is not None
        del node.parent.children[node.tokens]
        self._cached -= 1
        self._free.append(node.block)
        if node.parent is not self._root:
            self._offer(node.parent)

    def _restore(self, parent: Node, tokens: tuple[int, ...], topic: Topic) -> Node | None:
        """Bring a block back from the spill, as a child of `parent`; None if it isn't there."""
        if self._spill is None or not self._spill.has(key := chain(parent.key, tokens)):
            return None
        if not self._free and not self._evict():
            return None
        block = self._free.pop()
        if not self._spill.load(key, block):
            self._free.append(block)
            return None
        node = parent.children[tokens] = Node(block, tokens, parent, topic)
        self._cached += 1
        return node

    def _walk(self) -> Iterator[Node]:
        stack = list(self._root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())
