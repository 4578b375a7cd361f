"""The whole bot with a model that needs no time: for measuring and killing all that is around a model.

Run as a process of its own it serves local platform servers until SIGTERM; what it needs to know comes as
JSON in its only argument. Nothing here is faster than in `chorus run` but the model, and the platforms'
budgets, which a local server does not have.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import signal
import sys
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from adapters.discord import DiscordAdapter
from adapters.telegram import TelegramAdapter
from adapters.telegram.budget import Limits
from bot.app import App, collect_seldom
from bot.commands import COMMANDS
from bot.config import load_settings
from inference import ChatMessage, Delta, Finished, FinishReason, Request, Usage

MUCH = 1_000_000.0  # messages a second: no budget


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bot lives. `pause` is how long the model thinks about each word at most, in seconds."""

    database: str
    discord_token: str
    discord_api: str
    discord_gateway: str
    telegram_token: str
    telegram_api: str
    telegram_file: str
    log: str
    pause: float = 0.0

    def argument(self) -> str:
        return json.dumps(asdict(self))


class InstantEngine:
    """Repeats what was said since its last answer. `pause` as in Place."""

    model = "instant"
    context_length = 1_000_000

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause
        self._cancelled: set[str] = set()

    async def generate(self, request: Request) -> AsyncGenerator[Delta | Finished, None]:
        words = re.findall(r"\S+\s*", f"You said: {_question(request.messages or ())}")
        for number, word in enumerate(words):
            if self._pause:
                await asyncio.sleep(random.uniform(0, self._pause))
            yield Delta(word, (number,))
        yield Finished(FinishReason.STOP, Usage(1, 0, len(words), 0.0, 0.0))

    def cancel(self, request_id: str) -> bool:
        return False

    def forget(self, topics: Collection[str]) -> None:
        pass

    async def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return sum(1 + len(one.content) // 4 for one in messages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _question(messages: Sequence[ChatMessage]) -> str:
    """All that was said since the last answer."""
    said: list[str] = []
    for message in reversed(messages):
        if message.role != "user":
            break
        said.append(message.content)
    return " ".join(reversed(said))


async def serve(place: Place) -> None:
    settings = load_settings(
        {
            "database": {"url": f"sqlite+aiosqlite:///{place.database}"},
            "limits": {"waiting_per_person": 100_000, "waiting": 100_000},
            "quota": {
                "messages_per_minute": 0,
                "messages_per_day": 0,
                "tokens_per_day": 0,
            },
        }
    )
    adapters = [
        DiscordAdapter(
            place.discord_token,
            api_url=place.discord_api,
            gateway_url=place.discord_gateway,
            commands=COMMANDS,
            writes_a_second=MUCH,
        ),
        TelegramAdapter(
            place.telegram_token,
            api_url=place.telegram_api,
            file_url=place.telegram_file,
            commands=COMMANDS,
            limits=Limits(a_second=MUCH, a_second_in_private=MUCH, a_minute_in_group=MUCH),
        ),
    ]
    app = App(settings, adapters, InstantEngine(place.pause), on_open=collect_seldom)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.stop)
    await app.run()


def main() -> None:
    place = Place(**json.loads(sys.argv[1]))
    logging.basicConfig(
        filename=place.log,
        level=logging.WARNING,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )
    asyncio.run(serve(place))


if __name__ == "__main__":
    main()
