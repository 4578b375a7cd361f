"""What waits to be answered: in which conversations, whose it is, and whose turn comes next.

Conversations get their turns round robin over servers and people, so that who has much waiting delays nobody
else. Only numbers and names are kept here; the events stay in the inbox. Knows nothing of how they are
answered.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable

from adapters.types import ChatRef

Party = tuple[str, str]
"""Who shares one place in the round: a server, a person in private, or a group."""
Author = tuple[str, str]
"""A person: platform and id."""


class Backlog:
    """`per_person` and `total` are how many events may wait; more are to be refused."""

    def __init__(self, per_person: int, total: int) -> None:
        self._per_person = per_person
        self._most = total
        self._by_author: Counter[Author] = Counter()
        self._by_chat: dict[ChatRef, Counter[Author]] = {}
        self._total = 0
        self._round: OrderedDict[Party, deque[ChatRef]] = OrderedDict()
        self._queued: dict[ChatRef, Party] = {}
        self._told: set[Author] = set()  # refused since their queue was last below its limit

    def __len__(self) -> int:
        return self._total

    @property
    def queued(self) -> int:
        """Conversations that wait for their turn."""
        return len(self._queued)

    def is_full(self, author: Author) -> bool:
        """Whether one more event of this person has to be refused."""
        return self._by_author[author] >= self._per_person or self._total >= self._most

    def tell(self, author: Author) -> bool:
        """Whether this refusal is the first since there was room: only that is said."""
        if author in self._told:
            return False
        self._told.add(author)
        return True

    def untell(self, author: Author) -> None:
        """It was not said after all."""
        self._told.discard(author)

    def add(self, chat: ChatRef, author: Author, count: int = 1) -> None:
        """So many more events wait."""
        self._by_author[author] += count
        self._by_chat.setdefault(chat, Counter())[author] += count
        self._total += count

    def take(self, chat: ChatRef, authors: Iterable[Author]) -> None:
        """Events of a conversation, one of each of `authors`, wait no longer."""
        for author in authors:
            self._remove(chat, author, 1)

    def forget(self, chat: ChatRef) -> None:
        """Nothing waits in this conversation, whatever was counted."""
        for author, count in list(self._by_chat.get(chat, Counter()).items()):
            self._remove(chat, author, count)

    def _remove(self, chat: ChatRef, author: Author, count: int) -> None:
        here = self._by_chat.get(chat, Counter())
        count = min(count, here[author])
        self._total -= count
        _less(self._by_author, author, count)
        _less(here, author, count)
        if not here:
            self._by_chat.pop(chat, None)
        if not self.is_full(author):
            self._told.discard(author)

    def waiting_in(self, chat: ChatRef) -> int:
        """Events that wait in a conversation."""
        return self._by_chat[chat].total() if chat in self._by_chat else 0

    def queue(self, chat: ChatRef, party: Party) -> None:
        """A conversation is ready for its turn."""
        if chat not in self._queued:
            self._queued[chat] = party
            self._round.setdefault(party, deque()).append(chat)

    def next(self) -> tuple[ChatRef, Party] | None:
        """The conversation whose turn it is, and whose party then goes to the end of the round."""
        if not self._round:
            return None
        party, chats = self._round.popitem(last=False)
        chat = chats.popleft()
        if chats:
            self._round[party] = chats
        del self._queued[chat]
        return chat, party

    def place(self, chat: ChatRef) -> int:
        """A waiting conversation's place in the order of turns, from 1; 0 if it does not wait."""
        party = self._queued.get(chat)
        if party is None:
            return 0
        ahead = self._round[party].index(chat)
        before, place = True, ahead + 1
        for other, chats in self._round.items():
            if other == party:
                before = False
            else:
                place += min(len(chats), ahead + before)
        return place


def _less(counter: Counter[Author], key: Author, count: int) -> None:
    counter[key] -= count
    if counter[key] <= 0:
        del counter[key]
