"""The cache of recurrent models: which block holds whose state. Knows nothing of tensors or models.

A block holds one state: all that the model keeps of a text, however long it is. So a running sequence needs
one block (a second one for a step, when it leaves a state behind for others), and a conversation as much at
token 100,000 as at token 100.

States are kept where a text may be taken up again, always behind a whole number of `size` tokens, and found
by the digest of all tokens before them:

    PASSING   where a running sequence was last; the next one replaces it, unless it was asked for meanwhile
    TURN      where a prompt ends: an answer can be asked for again, a last message edited. Of the states that
              one text left behind, the last LATEST stay
    BRANCH    where a prompt parted from an earlier one: the end of a shared system prompt above all

Whatever else is asked for is computed from the nearest state before it. A block is free, held or cached, as
in `cache`, and what is evicted, the longest unused first, can come back from a `Spill`.

Everything here belongs to the model thread; nothing is locked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from enum import IntEnum
from weakref import WeakValueDictionary

from inference.local.cache import NO_TOPIC, Spill, Topic, chain

LATEST = 4  # states: the prompts and answers of this turn and the one before
TRAIL = 256  # of a prompt's first lengths: by them it is noticed where another parts from it
TRAILS = 500 * TRAIL  # of all prompts; some 20 MB


class Worth(IntEnum):
    """What a state is kept for; see above."""

    PASSING = 0
    TURN = 1
    BRANCH = 2


class State:
    """The state behind the first `length` tokens of some text, of which `key` is the digest. `parent` is the
    next shorter one of the same text that is kept, at the end the empty text's, which needs no block."""

    __slots__ = ("block", "children", "holders", "key", "length", "parent", "topic", "worth")

    def __init__(self, key: bytes, length: int, block: int, parent: State | None, topic: Topic) -> None:
        self.key = key
        self.length = length
        self.block: int | None = block  # None once it is no longer kept
        self.parent = parent
        self.children: set[State] = set()
        self.holders = 0  # sequences whose next step reads it
        self.topic = topic
        self.worth = Worth.PASSING
        if parent is not None:
            parent.children.add(self)

    @property
    def ancestors(self) -> Iterator[State]:
        """Shorter states of the same text that are kept, the longest first."""
        state = self.parent
        while state is not None and state.parent is not None:
            yield state
            state = state.parent


class StateTable:
    """What one sequence holds: a kept state that its next step goes on from, or one of its own."""

    __slots__ = ("base", "last", "own", "stops", "topic")

    def __init__(self, last: State, topic: Topic) -> None:
        self.topic = topic
        self.last = last  # the longest state of this text that it found or left behind; may be gone by now
        self.base: State | None = None  # held until the next step has read it
        self.own: int | None = None  # the block that the next step writes, and reads where there is no base
        self.stops: dict[int, Worth] = {}  # lengths at which a state is to be kept, the shortest first

    @property
    def blocks(self) -> list[int]:
        """The first is read, the last is written."""
        base = None if self.base is None else self.base.block
        return [block for block in (base, self.own) if block is not None]


class StateManager:
    """Hands out blocks, remembers states, evicts the longest unused. See `cache.Cache`."""

    def __init__(self, total: int, size: int, spill: Spill | None = None) -> None:
        if total < 2 or size < 1:
            raise ValueError("a sequence needs two blocks, and a state stands behind one token at least")
        self.total = total
        self.size = size  # tokens
        self._free = list(range(total - 1, -1, -1))  # taken from the end: low numbers first
        self._held = 0
        self._root = State(b"", 0, -1, None, NO_TOPIC)
        self._states: dict[bytes, State] = {}  # all that are kept
        self._idle: OrderedDict[bytes, State] = OrderedDict()  # that nobody holds, the longest unused first
        self._trail: OrderedDict[bytes, bytes | None] = OrderedDict()  # keys of prompts, and which came next
        self._spill = spill
        self._topics: WeakValueDictionary[str, Topic] = WeakValueDictionary()

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def held(self) -> int:
        return self._held

    @property
    def cached(self) -> int:
        return len(self._idle)

    def acquire(self, tokens: Sequence[int], topic: str = "") -> StateTable:
        """See `Cache.acquire`: a table that stands on the longest state of `tokens` that is kept."""
        table = StateTable(self._root, self._topics.setdefault(topic, Topic(topic)) if topic else NO_TOPIC)
        keys = self._keys(tokens)
        for number in range(len(keys), 0, -1):
            state = self._states.get(keys[number - 1]) or self._restore(keys, number, table.topic)
            if state is not None:
                state.worth = max(state.worth, Worth.TURN)
                self._stand(table, state)
                break
        parting = self._parting(keys)
        if parting > table.last.length:
            table.stops[parting] = Worth.BRANCH
        table.stops.setdefault(len(keys) * self.size, Worth.TURN)
        return table

    def prefix(self, table: StateTable) -> int:
        """See `Cache.prefix`."""
        return table.last.length

    def has_room(self, table: StateTable, length: int) -> bool:
        """See `Cache.has_room`: one block, and a second one beside it for the first state left behind."""
        return self.free + self.cached >= (2 if table.base is None else 1)

    def chunk(self, table: StateTable, computed: int, count: int) -> int:
        """See `Cache.chunk`: as far as the next state that is to be kept, else to where one can be."""
        end = computed + count
        end = min([end, *(stop for stop in table.stops if stop > computed)])
        whole = end // self.size * self.size
        return (whole if whole > computed else end) - computed

    def reserve(self, table: StateTable, length: int) -> bool:
        """See `Cache.reserve`: a block for the next step to write."""
        if table.own is None:
            if not self._free and not self._evict():
                return False
            table.own = self._free.pop()
            self._held += 1
        return True

    def commit(self, table: StateTable, tokens: Sequence[int], computed: int) -> None:
        """See `Cache.commit`. Where a state can be kept, the table goes over to it, and needless ones go."""
        if table.base is not None:
            self._let_go(table.base)
            table.base = None
        if computed % self.size == 0:
            self._stand(table, self._keep(table, tokens, computed))
            self._thin(table.last)

    def fork(self, table: StateTable) -> tuple[StateTable, list[tuple[int, int]]] | None:
        """See `Cache.fork`: a kept state is shared, one of the table's own copied."""
        other = StateTable(table.last, table.topic)
        if table.own is None:
            if table.base is not None:
                self._stand(other, table.base)
            return other, []
        if not self.reserve(other, 0):
            return None
        assert other.own is not None
        return other, [(table.own, other.own)]

    def release(self, table: StateTable) -> None:
        """See `Cache.release`."""
        if table.own is not None:
            self._free.append(table.own)
            self._held -= 1
            table.own = None
        if table.base is not None:
            self._let_go(table.base)
            table.base = None

    def clear(self) -> None:
        """See `Cache.clear`."""
        while self._evict():
            pass

    def spill_newest(self, count: int) -> None:
        """See `Cache.spill_newest`."""
        for state in list(self._idle.values())[-count:] if count > 0 else ():
            self._save(state)

    def forget(self, topic: str) -> None:
        """See `Cache.forget`."""
        found = self._topics.pop(topic, None)
        if found is not None:
            found.forgotten = True
            for state in [one for one in self._idle.values() if one.topic is found]:
                self._drop(state)
        if self._spill is not None:
            self._spill.forget(topic)

    def check_integrity(self) -> None:
        """See `Cache.check_integrity`."""
        kept = list(self._states.values())
        held = [state for state in kept if state.holders]
        assert self._held >= len(held), "more states are held than blocks"
        assert {id(one) for one in self._idle.values()} == {id(one) for one in kept if not one.holders}
        assert self.free + self.held + self.cached == self.total, "blocks were lost or doubled"
        known = [*self._free, *(state.block for state in kept)]
        assert len(set(known)) == len(known), "a block is in two places"
        for state in kept:
            above = state.parent
            assert above is not None
            assert above.block is not None, "behind what is gone"
            assert above.length < state.length, "behind what is longer"
            assert state in above.children

    def _keys(self, tokens: Sequence[int]) -> list[bytes]:
        """Of every length at which a state of these tokens could be kept, but for that of all of them."""
        keys: list[bytes] = []
        before = self._root.key
        for start in range(0, len(tokens) - self.size, self.size):
            before = chain(before, tokens[start : start + self.size])
            keys.append(before)
        return keys

    def _parting(self, keys: Sequence[bytes]) -> int:
        """The length at which these tokens part from the earlier prompt that has most in common with them; 0
        if there is none, or one is the other's beginning. They are an earlier prompt from now on."""
        parting = 0
        for number, key in enumerate(keys[:TRAIL], 1):
            following = keys[number] if number < len(keys) else None
            known = self._trail.get(key)
            if known is None:
                self._trail[key] = following
            elif following is not None and following != known:
                parting = number * self.size
            self._trail.move_to_end(key)
        while len(self._trail) > TRAILS:
            self._trail.popitem(last=False)
        return parting

    def _keep(self, table: StateTable, tokens: Sequence[int], computed: int) -> State:
        """The state that stands in the table's own block, from now on for others too. Where another sequence
        came to the same state before, that one, and the block becomes free."""
        assert table.own is not None
        block, table.own = table.own, None
        self._held -= 1
        key = table.last.key
        for start in range(table.last.length, computed, self.size):
            key = chain(key, tokens[start : start + self.size])
        state = self._states.get(key)
        if state is None:
            state = self._add(State(key, computed, block, self._kept(table.last), table.topic))
        else:
            self._free.append(block)
        state.worth = max(state.worth, table.stops.get(computed, Worth.PASSING))
        return state

    def _thin(self, newest: State) -> None:
        """Let go of what nobody will miss behind a new state."""
        turns = 1
        for state in list(newest.ancestors):
            turns += state.worth is Worth.TURN
            needless = state.worth is Worth.PASSING or (state.worth is Worth.TURN and turns > LATEST)
            if needless and not state.holders:
                self._drop(state)

    def _kept(self, state: State) -> State:
        """The state, or if it is gone the next shorter one."""
        while state.block is None:
            assert state.parent is not None
            state = state.parent
        return state

    def _add(self, state: State) -> State:
        self._states[state.key] = self._idle[state.key] = state
        return state

    def _stand(self, table: StateTable, state: State) -> None:
        """Let a table's next step go on from a state, which is its topic's own where that of another was
        forgotten."""
        table.base = table.last = state
        if state.topic.forgotten:
            state.topic = table.topic
        if state.holders == 0:
            del self._idle[state.key]
            self._held += 1
        state.holders += 1

    def _let_go(self, state: State) -> None:
        state.holders -= 1
        if state.holders == 0:
            self._held -= 1
            self._idle[state.key] = state
            if state.topic.forgotten:
                self._drop(state)

    def _evict(self) -> bool:
        """Free the longest unused state. False if there is none."""
        if not self._idle:
            return False
        state = next(iter(self._idle.values()))
        self._save(state)
        self._drop(state)
        return True

    def _save(self, state: State) -> None:
        """Hand a state to the spill, unless it is there already."""
        if self._spill is None or state.topic.forgotten or self._spill.has(state.key):
            return
        assert state.block is not None
        self._spill.save(state.key, state.block, state.topic.name)

    def _drop(self, state: State) -> None:
        """Free a state that nobody holds."""
        assert state.block is not None
        assert state.parent is not None
        del self._states[state.key], self._idle[state.key]
        self._free.append(state.block)
        state.block = None
        state.parent.children.remove(state)
        state.parent.children |= state.children
        for child in state.children:
            child.parent = state.parent

    def _restore(self, keys: Sequence[bytes], number: int, topic: Topic) -> State | None:
        """Bring the state behind `number` blocks back from the spill; None if it isn't there."""
        key = keys[number - 1]
        if self._spill is None or not self._spill.has(key):
            return None
        if not self._free and not self._evict():
            return None
        block = self._free.pop()
        if not self._spill.load(key, block):
            self._free.append(block)
            return None
        shorter = (self._states.get(one) for one in reversed(keys[: number - 1]))
        parent = next((one for one in shorter if one is not None), self._root)
        return self._add(State(key, number * self.size, block, parent, topic))
