"""Who people are: their standing in a chat, and the ids behind their user names.

Both are remembered from what Telegram tells, and forgotten when it tells otherwise. News of an impossible
form, which python-telegram-bot lets through, teaches nothing. Knows nothing of what anybody may do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress

from telegram import Update, User

from adapters.ratelimit import Clock
from adapters.types import Standing

BELIEVED_FOR = 60.0  # seconds; news of members comes only to bots that are administrators themselves
MOST_REMEMBERED = 10_000


class Members:
    """What people are in chats, for a minute at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[float, Standing]] = OrderedDict()
        self._news = 0  # how often something was forgotten

    async def standing(self, chat: str, person: str, ask: Callable[[], Awaitable[Standing]]) -> Standing:
        """What a person is in a chat, as it is remembered or as `ask` tells. An answer that news overtook on
        its way is not remembered."""
        key = (chat, person)
        if key in self._known:
            until, standing = self._known[key]
            if self._clock() < until:
                return standing
        news = self._news
        standing = await ask()
        if news == self._news:
            self._known[key] = (self._clock() + BELIEVED_FOR, standing)
            self._known.move_to_end(key)
            if len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return standing

    def heard(self, update: Update) -> None:
        """Forget what an update makes doubtful: one person's standing, or everybody's in a chat where the
        bot's own has changed."""
        with suppress(AttributeError):
            if update.chat_member is not None:
                self._news += 1
                chat, user = update.chat_member.chat.id, update.chat_member.new_chat_member.user.id
                self._known.pop((str(chat), str(user)), None)
            if update.my_chat_member is not None:
                self._news += 1
                chat = update.my_chat_member.chat.id
                for key in [key for key in self._known if key[0] == str(chat)]:
                    del self._known[key]


class UserNames(dict[str, str]):
    """People's ids by their user names, in lower case, of those who were heard of lately. Telegram tells bots
    nobody's id for a name."""

    def __init__(self) -> None:
        super().__init__()
        self._names: OrderedDict[int, str] = OrderedDict()  # by id; a person has one name at a time

    def heard(self, update: Update) -> None:
        """Remember who wrote or pressed, and whose message it was about."""
        message = update.message or update.edited_message
        with suppress(AttributeError, TypeError):
            self._meet(update.effective_user)
            if message is not None and message.reply_to_message is not None:
                self._meet(message.reply_to_message.from_user)

    def _meet(self, user: User | None) -> None:
        if user is None or user.is_bot:
            return
        former = self._names.pop(user.id, None)
        if former is not None and self.get(former) == str(user.id):
            del self[former]
        if user.username:
            self._names[user.id] = user.username.lower()
            self[user.username.lower()] = str(user.id)
        if len(self._names) > MOST_REMEMBERED:
            person, name = self._names.popitem(last=False)
            if self.get(name) == str(person):
                del self[name]
