"""Discord on loopback: gateway and HTTP API, as far as a chat bot uses them."""

from tests.fakes.discord.server import FakeDiscord, RateLimit
from tests.fakes.discord.world import Channel, Invocation, Message, Person, Role, Server

__all__ = ["Channel", "FakeDiscord", "Invocation", "Message", "Person", "RateLimit", "Role", "Server"]
