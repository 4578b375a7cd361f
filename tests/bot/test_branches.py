"""A conversation's tree when something is asked again, changed, or gone on with."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.types import ChatRef
from adapters.types import Person as Someone
from bot.store import branches, history
from bot.store.models import Conversation, Message
from tests.bot.conftest import Chorus

NOW = datetime(2026, 5, 20, tzinfo=UTC)
CHAT = ChatRef("telegram", "1")


class Tree:
    """Messages, by the platform's ids that they stand under."""

    def __init__(self, session: AsyncSession, conversation: Conversation, person: int) -> None:
        self.session = session
        self.conversation = conversation
        self.person = person

    async def says(self, place: str, text: str, parent: Message | None = None) -> Message:
        return await self._add(place, "user", text, parent)

    async def answers(self, place: str, text: str, parent: Message) -> Message:
        answer = await self._add(place, "assistant", text, parent)
        self.conversation.head_id = answer.id
        return answer

    async def _add(self, place: str, role: str, text: str, parent: Message | None) -> Message:
        message = Message(
            conversation_id=self.conversation.id,
            parent_id=parent.id if parent else None,
            person_id=self.person if role == "user" else None,
            role=role,
            text=text,
            created_at=NOW,
        )
        self.session.add(message)
        await self.session.flush()
        await history.add_ref(self.session, self.conversation.id, message.id, place)
        return message

    async def change(self, place: str, text: str) -> tuple[Message, Message | None] | None:
        return await branches.change(self.session, self.conversation, place, self.person, text, NOW)

    async def branch(self, tip: Message) -> list[str]:
        return [said.text for said in await history.branch(self.session, tip.id)]


async def tree(session: AsyncSession) -> Tree:
    conversation = await history.conversation(session, CHAT, NOW)
    person = await history.person(session, Someone("7", "Alice"), "telegram", NOW)
    return Tree(session, conversation, person)


async def test_of_what_was_answered_together_the_rest_comes_along(chorus: Chorus) -> None:
    async with chorus.database() as database, database.write() as session:
        chat = await tree(session)
        one = await chat.says("10", "One")
        two = await chat.says("11", "Two", one)
        answer = await chat.answers("12", "Both", two)

        changed = await chat.change("10", "Other one")
        assert changed is not None
        tip, replaced = changed
        assert await chat.branch(tip) == ["Other one", "Two"]
        assert replaced is not None
        assert replaced.id == answer.id
        assert await chat.branch(answer) == ["One", "Two", "Both"], "what was said stays"
        again = await history.find(session, chat.conversation, "11")
        assert again is not None
        assert again.id == tip.id, "a later change of the second one finds the new branch"


async def test_changing_twice_is_answered_once_and_a_crash_between_harms_nothing(chorus: Chorus) -> None:
    async with chorus.database() as database, database.write() as session:
        chat = await tree(session)
        question = await chat.says("10", "One")
        await chat.answers("11", "First", question)
        changed = await chat.change("10", "Other one")
        assert changed is not None
        again = await chat.change("10", "Other one")
        assert again is not None, "not answered yet: again"
        assert (again[0].id, again[1]) == (changed[0].id, None)
        await chat.answers("11", "Second", changed[0])
        assert await chat.change("10", "Other one") is None


async def test_only_ones_own_questions_change(chorus: Chorus) -> None:
    async with chorus.database() as database, database.write() as session:
        chat = await tree(session)
        question = await chat.says("10", "One")
        await chat.answers("11", "First", question)
        stranger = await history.person(session, Someone("8", "Bob"), "telegram", NOW)
        mine = chat.person
        chat.person = stranger
        assert await chat.change("10", "Other") is None
        chat.person = mine
        assert await chat.change("11", "Other") is None, "an answer is no question"
        assert await chat.change("99", "Other") is None


async def test_places_are_in_the_order_of_their_numbers(chorus: Chorus) -> None:
    async with chorus.database() as database, database.write() as session:
        chat = await tree(session)
        question = await chat.says("8", "One")
        answer = await chat.answers("9", "First", question)
        for place in ("11", "10", "100"):
            await history.add_ref(session, chat.conversation.id, answer.id, place)
        assert await branches.places(session, answer) == ["9", "10", "11", "100"]


async def test_the_whole_conversation_however_long(chorus: Chorus) -> None:
    async with chorus.database() as database, database.write() as session:
        chat = await tree(session)
        last: Message | None = None
        for number in range(history.LONGEST_BRANCH + 5):
            last = await chat.says(str(number), str(number), last)
        assert last is not None
        chat.conversation.head_id = last.id
        whole = await branches.whole(session, chat.conversation)
    assert [one.text for one in whole] == [str(number) for number in range(history.LONGEST_BRANCH + 5)]
    assert {one.author for one in whole} == {"Alice"}
