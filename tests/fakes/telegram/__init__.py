"""A Telegram on loopback: `async with FakeTelegram() as telegram`."""

from tests.fakes.telegram.chats import Chat, Message, Person
from tests.fakes.telegram.server import FakeTelegram

__all__ = ["Chat", "FakeTelegram", "Message", "Person"]
