"""What the platforms' libraries cost by themselves: discord.py and python-telegram-bot, answering at once.

No database, no order, no guarantees: each message is answered by one send, over the connections that the bot
has. No bot that is built upon these libraries can be quicker. `benchmarks.pipeline --bare` runs it instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

os.environ.setdefault("PTB_TIMEDELTA", "true")

from telegram import Bot, Update

from adapters.telegram.http import Http
from benchmarks.instant import Place


class Echo(discord.Client):
    async def on_message(self, message: discord.Message) -> None:
        if message.author != self.user:
            await message.channel.send(f"You said: {message.content}")


async def echo_on_telegram(place: Place) -> None:
    bot = Bot(
        place.telegram_token,
        base_url=place.telegram_api,
        base_file_url=place.telegram_file,
        request=Http(connections=100),
        get_updates_request=Http(connections=1),
    )
    offset: int | None = None

    async def answer(update: Update) -> None:
        message = update.message
        if message is not None:
            await bot.send_message(message.chat.id, f"You said: {message.text}")

    async with bot, asyncio.TaskGroup() as tasks:
        while True:
            for update in await bot.get_updates(offset, timeout=30):
                offset = update.update_id + 1
                tasks.create_task(answer(update))


async def serve(place: Place) -> None:
    Route.BASE = place.discord_api
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(place.discord_gateway)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    intents = discord.Intents(dm_messages=True, message_content=True)
    async with Echo(intents=intents, allowed_mentions=discord.AllowedMentions.none()) as client:
        echoing = [
            asyncio.create_task(client.start(place.discord_token)),
            asyncio.create_task(echo_on_telegram(place)),
        ]
        await ending.wait()
        for task in echoing:
            task.cancel()
        await asyncio.gather(*echoing, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(serve(Place(**json.loads(sys.argv[1]))))
