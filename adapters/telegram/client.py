"""Telegram's adapter: the Bot API over python-telegram-bot, as `adapters.base.Adapter` asks.

Telegram has no idempotency key: a send that was not answered in time may have arrived (`Unreachable`), and
`key` is not used. Repeating an edit is harmless.

The libraries below write the token or people's words to their debug logs (python-telegram-bot its base URL
and every payload, httpx every URL), so that their loggers are kept at WARNING.

Knows nothing of histories, prompts or what is answered.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from telegram import (
    Bot,
    InputMediaDocument,
    LinkPreviewOptions,
    Message,
    MessageEntity,
    ReplyParameters,
    Update,
)
from telegram.constants import ChatAction
from telegram.request import HTTPXRequest

from adapters import markup
from adapters.base import Capabilities, Publish
from adapters.commands import CommandSpec
from adapters.errors import AdapterError, Misconfigured, NotFound, RateLimited, Rejected
from adapters.ratelimit import Clock, Sleep
from adapters.telegram.budget import (
    DRAFT_INTERVAL,
    GROUP_EDIT_INTERVAL,
    PRIVATE_EDIT_INTERVAL,
    Budget,
    is_private,
)
from adapters.telegram.commands import menu
from adapters.telegram.convert import PLATFORM, event_of
from adapters.telegram.errors import (
    ChatMoved,
    FormattingRefused,
    NotModified,
    TopicGone,
    UnknownMethod,
    translated,
)
from adapters.telegram.polling import PollingRequest, insist, poll
from adapters.types import Attachment, ChatRef, MessageRef, Part

log = logging.getLogger(__name__)

API_URL = "https://api.telegram.org/bot"
FILE_URL = "https://api.telegram.org/file/bot"
LARGEST_DOWNLOAD = 20 * 2**20  # bytes; getFile refuses more (Bot API, getFile)
TYPING_INTERVAL = 4.5  # seconds; Telegram shows an action for 5 (Bot API, sendChatAction)
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

T = TypeVar("T")


class TelegramAdapter:
    """One bot on Telegram.

    `api_url` and `file_url` are the addresses of another Bot API server, up to the token. `commands` are the
    names that count as commands in groups. `timeout` bounds each request but the long poll.
    """

    def __init__(
        self,
        token: str,
        *,
        api_url: str | None = None,
        file_url: str | None = None,
        commands: Sequence[CommandSpec] = (),
        timeout: timedelta = timedelta(seconds=20),
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not re.fullmatch(r"\d+:[\w-]+", token, re.ASCII):
            raise Misconfigured(
                "CHORUS_TELEGRAM__TOKEN is not a token from @BotFather: those look like 123456:ABC-def"
            )
        for library in ("httpx", "httpcore", "telegram"):
            logging.getLogger(library).setLevel(logging.WARNING)
        seconds = timeout.total_seconds()
        self._token = token
        self._bot = Bot(
            token,
            base_url=api_url or API_URL,
            base_file_url=file_url or FILE_URL,
            request=HTTPXRequest(
                connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds, pool_timeout=seconds
            ),
            get_updates_request=PollingRequest(connection_pool_size=1),
        )
        self._commands = commands
        self._sleep = sleep
        self._budget = Budget(clock, sleep)
        self._ready = asyncio.Event()
        self._has_drafts = True  # until the server says otherwise
        self._drafting: set[str] = set()  # chats with a draft on its way

    @property
    def platform(self) -> str:
        return PLATFORM

    # Receiving

    async def run(self, publish: Publish) -> None:
        """See Adapter. An update is confirmed to Telegram only after `publish` returned."""
        try:
            await insist(self._connect, self._sleep)
            self._ready.set()
            await poll(self._bot, partial(self._handle, publish), self._sleep)
        finally:
            self._ready.clear()
            await self._bot.shutdown()

    async def ready(self) -> None:
        await self._ready.wait()

    async def _connect(self) -> None:
        with self._calling():
            await self._bot.initialize()
            await self._bot.delete_webhook(drop_pending_updates=False)  # polling is refused beside a webhook
        me = self._bot.bot
        log.info("Connected to Telegram as @%s", me.username)
        if not me.can_read_all_group_messages:
            log.info(
                "In groups the bot sees commands, mentions and replies to it, nothing else. @BotFather's "
                "/setprivacy changes that."
            )

    async def _handle(self, publish: Publish, update: Update) -> None:
        try:
            event = event_of(update, self._bot.bot, self._commands)
        except Exception:  # a form of message nobody thought of must not stop all others
            log.exception("Update %d can't be understood and is stepped over", update.update_id)
            return
        if event is not None:
            await publish(event)

    async def download(self, attachment: Attachment) -> bytes:
        """An attachment's content. Raises Rejected above 20 MiB, the most that bots can fetch."""
        if attachment.size > LARGEST_DOWNLOAD:
            raise Rejected(f"{attachment.name} has {attachment.size} bytes: more than bots can fetch")
        try:
            with self._calling():
                file = await self._bot.get_file(attachment.handle)
                return bytes(await file.download_as_bytearray())
        except UnknownMethod as error:  # a missing file answers as a missing method does
            raise NotFound(f"{attachment.name} can't be fetched any more") from error

    # Sending

    def capabilities(self, chat: ChatRef) -> Capabilities:
        if not is_private(chat.chat):
            return Capabilities(edit_interval=GROUP_EDIT_INTERVAL)
        if self._has_drafts:
            return Capabilities(edit_interval=DRAFT_INTERVAL, drafts=True)
        return Capabilities(edit_interval=PRIVATE_EDIT_INTERVAL)

    def parts(self, markdown: str) -> Sequence[Part]:
        return markup.telegram_parts(markdown)

    async def send(
        self,
        chat: ChatRef,
        part: Part,
        *,
        key: str,
        reply_to: MessageRef | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> MessageRef:
        """See Adapter. What can't go to a closed topic goes to the group. The reference that comes back tells
        the new id of a group that became a supergroup."""
        await self._budget.take(chat.chat)
        try:
            message = await self._send(chat, part, reply_to)
        except TopicGone:
            message = await self._send(replace(chat, thread=None), part, None)
        except ChatMoved as moved:
            message = await self._send(replace(chat, chat=str(moved.new_chat)), part, None)
        return MessageRef(replace(chat, chat=str(message.chat.id)), str(message.message_id))

    async def _send(self, chat: ChatRef, part: Part, reply_to: MessageRef | None) -> Message:
        file = part.file
        thread = _thread(chat)
        reply = ReplyParameters(int(reply_to.message), allow_sending_without_reply=True) if reply_to else None

        def call(text: str, entities: Sequence[MessageEntity]) -> Awaitable[Message]:
            if file is None:
                return self._bot.send_message(
                    int(chat.chat),
                    text,
                    entities=entities,
                    link_preview_options=NO_PREVIEW,
                    message_thread_id=thread,
                    reply_parameters=reply,
                )
            return self._bot.send_document(
                int(chat.chat),
                file.content,
                filename=file.name,
                caption=text,
                caption_entities=entities,
                message_thread_id=thread,
                reply_parameters=reply,
            )

        return await self._formatted(chat, part.text, call)

    async def edit(
        self, message: MessageRef, part: Part, *, facts: Mapping[str, object] | None = None
    ) -> MessageRef:
        await self._budget.take(message.chat.chat)
        await self._edit(message, part)
        return message

    async def preview(self, message: MessageRef, part: Part) -> bool:
        """See Adapter. A part's file is left to the final edit."""
        if not part.text or not self._budget.try_take(message.chat.chat):
            return False
        try:
            await self._edit(message, Part(part.text))
        except RateLimited:
            return False
        return True

    async def _edit(self, message: MessageRef, part: Part) -> None:
        file = part.file
        chat, message_id = int(message.chat.chat), int(message.message)

        def call(text: str, entities: Sequence[MessageEntity]) -> Awaitable[Message | bool]:
            if file is None:
                return self._bot.edit_message_text(
                    text, chat, message_id, entities=entities, link_preview_options=NO_PREVIEW
                )
            media = InputMediaDocument(
                file.content, filename=file.name, caption=text, caption_entities=entities
            )
            return self._bot.edit_message_media(media, chat, message_id)

        try:
            await self._formatted(message.chat, part.text, call)
        except NotModified:
            log.debug("A message stands already as it should")

    async def draft(self, chat: ChatRef, draft: int, text: str) -> bool:
        """See Adapter. Of a text longer than a message its last part is shown."""
        if not self._has_drafts or chat.chat in self._drafting or not self._budget.try_take_draft(chat.chat):
            return False
        thread = _thread(chat)

        def call(text: str, entities: Sequence[MessageEntity]) -> Awaitable[bool]:
            return self._bot.send_message_draft(
                int(chat.chat), draft, text, entities=entities, message_thread_id=thread
            )

        self._drafting.add(chat.chat)
        try:
            await self._formatted(chat, _last_part(text), call)
        except RateLimited:
            return False
        except UnknownMethod:
            self._has_drafts = False
            log.info("This Bot API server has no message drafts; answers are previewed by edits")
            return False
        finally:
            self._drafting.discard(chat.chat)
        return True

    async def delete(self, message: MessageRef) -> None:
        try:
            with self._calling(message.chat):
                await self._bot.delete_message(int(message.chat.chat), int(message.message))
        except NotFound:
            log.debug("A message was gone already")

    @asynccontextmanager
    async def typing(self, chat: ChatRef) -> AsyncIterator[None]:
        task = asyncio.create_task(self._keep_typing(chat))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_typing(self, chat: ChatRef) -> None:
        thread = _thread(chat)
        while True:
            if self._budget.has_room(chat.chat):
                try:
                    with self._calling(chat):
                        await self._bot.send_chat_action(int(chat.chat), ChatAction.TYPING, thread)
                except AdapterError as error:
                    log.debug("Typing is not shown: %s", error)
            await self._sleep(TYPING_INTERVAL)

    async def publish_commands(self, commands: Sequence[CommandSpec]) -> None:
        wanted = menu(commands)
        with self._calling():
            if await self._bot.get_my_commands() != wanted:
                await self._bot.set_my_commands(wanted)

    async def _formatted(
        self, chat: ChatRef, text: str, call: Callable[[str, Sequence[MessageEntity]], Awaitable[T]]
    ) -> T:
        """Call with the text and entities that Markdown renders to; if Telegram refuses those, once more with
        plain text."""
        rendered, entities = markup.telegram_text(text)
        try:
            with self._calling(chat):
                return await call(rendered, entities)
        except FormattingRefused as error:
            log.warning("Sent as plain text: %s", error)
        plain = markup.plain_text(text)
        with self._calling(chat):
            return await call(plain, ())

    @contextmanager
    def _calling(self, chat: ChatRef | None = None) -> Iterator[None]:
        """Around each call: errors are translated, and a pause that Telegram asks for holds for its chat."""
        try:
            with translated(self._token):
                yield
        except RateLimited as error:
            if chat is not None:
                self._budget.block(chat.chat, error.retry_after)
            raise


def _thread(chat: ChatRef) -> int | None:
    """The topic's id as the Bot API takes it."""
    return int(chat.thread) if chat.thread else None


def _last_part(text: str) -> str:
    """What fits one message: the last part of a longer text."""
    parts = markup.telegram_parts(text)
    return parts[-1].text if parts else ""
