"""Telegram's adapter: the Bot API over python-telegram-bot, as `adapters.base.Adapter` asks.

Telegram has no idempotency key, and `key` is not used: a send that was not answered may have arrived, and
nothing in the Bot API tells afterwards. This is what can't be known, and `InDoubt` says so. It is kept rare:
a request that never left (no connection, no free one) is `Unreachable` instead and harmless to repeat, and
idle connections are given up before Telegram closes them. Repeating an edit is always harmless.

Menus of buttons (`adapters.telegram.commands.page`) are answered from here, without the application: they
need nothing but the commands. One that a crash swallows has to be asked for again.

python-telegram-bot writes the token and people's words to its debug log (its base URL and every payload), so
that its loggers are kept at WARNING.

Knows nothing of histories, prompts or what is answered.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from telegram import (
    Bot,
    InputMediaDocument,
    InputMediaPhoto,
    LinkPreviewOptions,
    Message,
    MessageEntity,
    ReplyParameters,
    Update,
)
from telegram.constants import ChatAction, ChatMemberStatus

from adapters import markup
from adapters.base import Capabilities, Cursors, Publish, Suggest, no_cursors, no_suggestions
from adapters.commands import CommandSpec
from adapters.errors import AdapterError, Misconfigured, NotFound, RateLimited, Rejected
from adapters.ratelimit import Clock, Sleep
from adapters.telegram.budget import (
    DRAFT_INTERVAL,
    GROUP_EDIT_INTERVAL,
    PRIVATE_EDIT_INTERVAL,
    TELEGRAMS_LIMITS,
    Budget,
    Limits,
    is_private,
)
from adapters.telegram.commands import keyboard, menus, page
from adapters.telegram.convert import MenuAsked, event_of
from adapters.telegram.errors import (
    ChatMoved,
    FormattingRefused,
    NoMember,
    NoText,
    NotModified,
    TopicGone,
    UnknownMethod,
    translated,
)
from adapters.telegram.members import Members, UserNames
from adapters.telegram.messages import PLATFORM
from adapters.telegram.polling import Errands, insist, poll
from adapters.telegram.request import PollingRequest, Request
from adapters.texts import Translate, english
from adapters.types import (
    Attachment,
    ChatRef,
    File,
    MessageRef,
    Part,
    Person,
    Standing,
    Unreadable,
)

log = logging.getLogger(__name__)

API_URL = "https://api.telegram.org/bot"
FILE_URL = "https://api.telegram.org/file/bot"
LARGEST_DOWNLOAD = 20 * 2**20  # bytes; getFile refuses more (Bot API, getFile)
CONNECTIONS = 100  # at once; a request waits for a free one
LONGEST_CAPTION = 1024  # UTF-16 units (Bot API, sendDocument)
TYPING_INTERVAL = 4.5  # seconds; Telegram shows an action for 5 (Bot API, sendChatAction)
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
# A button on drafts that ends the answer, and what stands then stays until the answer comes (Bot API 10.3).
STOPPABLE = {"can_stop": True, "keep_on_stop": True}

T = TypeVar("T")
Drafting = Callable[[str, Sequence[MessageEntity]], Awaitable[bool]]


class TelegramAdapter:
    """One bot on Telegram.

    `api_url` and `file_url` are the addresses of another Bot API server, up to the token; `limits` are what
    it takes. `commands` are what counts as commands until others are published. `timeout` bounds each
    request but the long poll.
    """

    def __init__(
        self,
        token: str,
        *,
        api_url: str | None = None,
        file_url: str | None = None,
        commands: Sequence[CommandSpec] = (),
        timeout: timedelta = timedelta(seconds=20),
        limits: Limits = TELEGRAMS_LIMITS,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not re.fullmatch(r"\d+:[\w-]+", token, re.ASCII):
            raise Misconfigured(
                "CHORUS_TELEGRAM__TOKEN is not a token from @BotFather: those look like 123456:ABC-def"
            )
        logging.getLogger("telegram").setLevel(logging.WARNING)
        seconds = timeout.total_seconds()
        self._token = token
        self._request = Request(connections=CONNECTIONS, timeout=seconds)
        self._bot = Bot(
            token,
            base_url=api_url or API_URL,
            base_file_url=file_url or FILE_URL,
            request=self._request,
            get_updates_request=PollingRequest(connections=1),
        )
        self._commands = commands
        self._published: Sequence[CommandSpec] | None = None  # what the menus show
        self._suggest: Suggest = no_suggestions
        self._sleep = sleep
        self._budget = Budget(clock, sleep, limits)
        self._members = Members(clock)
        self._user_names = UserNames()
        self._ready = asyncio.Event()
        self._has_drafts = True  # until the server says otherwise
        self._stoppable = True  # likewise
        self._drafting: set[str] = set()  # chats with a draft on its way

    @property
    def platform(self) -> str:
        return PLATFORM

    # Receiving

    async def run(
        self,
        publish: Publish,
        *,
        cursors: Cursors = no_cursors,
        suggest: Suggest = no_suggestions,
        translate: Translate = english,
    ) -> None:
        """See Adapter. An update is confirmed to Telegram only after `publish` returned: Telegram itself
        keeps what was missed, for a day, so that `cursors` are not needed."""
        self._suggest = suggest
        try:
            await insist(self._connect, self._sleep)
            self._ready.set()
            async with Errands() as errands:
                await poll(self._bot, partial(self._handle, publish, errands), self._sleep)
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

    async def _handle(self, publish: Publish, errands: Errands, update: Update) -> None:
        """Publish what an update says. What can't be understood is published as it came."""
        self._members.heard(update)
        self._user_names.heard(update)
        event = event_of(update, self._bot.bot, self._commands, self._user_names, datetime.now(UTC))
        if isinstance(event, Unreadable):
            log.warning("Update %d can't be understood and is set aside: %s", update.update_id, event.reason)
        if isinstance(event, MenuAsked):
            values = await self._values(event)
            if event.param is not None and not values and event.otherwise is not None:
                event = event.otherwise
            else:
                errands.run(self._show(event, values))
                event = None
        if event is not None:
            await publish(event)
        if update.callback_query is not None:
            errands.run(self._acknowledge(update.callback_query.id))

    async def _acknowledge(self, query: str) -> None:
        """End the waiting that a pressed button shows. Too late is no error."""
        with suppress(Rejected), self._calling():
            await self._bot.answer_callback_query(query)

    async def _values(self, asked: MenuAsked) -> Sequence[str]:
        """What can be chosen from."""
        if asked.param is None:
            return ()
        if asked.param.choices or not asked.param.suggested:
            return asked.param.choices
        return await self._suggest(asked.typed.path, asked.param.name, "", asked.message.chat, asked.author)

    async def _show(self, asked: MenuAsked, values: Sequence[str]) -> None:
        """Show a menu: in the place of the one whose button was pressed, else as an answer."""
        part = page(self._commands, asked.typed, asked.author.language, asked.param, values)
        if asked.pressed:
            with suppress(NotFound):
                await self.edit(asked.message, part)
                return
        await self.send(asked.message.chat, part, key="", reply_to=asked.message)

    async def download(self, attachment: Attachment, limit: int) -> bytes:
        """See Adapter. Raises Rejected above 20 MiB, the most that bots can fetch."""
        limit = min(limit, LARGEST_DOWNLOAD)
        too_large = Rejected(f"{attachment.name} is larger than {limit} bytes")
        if attachment.size > limit:
            raise too_large
        with self._calling():
            file = await self._bot.get_file(attachment.handle)
        if (file.file_size or 0) > limit:
            raise too_large
        if not (file.file_path or "").startswith("http"):
            raise NotFound(f"{attachment.name} can't be fetched: the Bot API server tells no address for it")
        content = await self._request.fetch(str(file.file_path), limit + 1)
        if content is None:
            raise NotFound(f"{attachment.name} can't be fetched any more")
        if len(content) > limit:
            raise too_large
        return content

    async def permissions_of(self, chat: ChatRef, who: Person) -> Standing:
        """See Adapter. Telegram has no roles. Whoever was never in the chat is nobody there."""
        if is_private(chat.chat):
            return Standing()
        if who.anonymous:
            return Standing(administrator=who.id == chat.chat)
        if not who.id.isdecimal():
            return Standing()

        async def ask() -> Standing:
            try:
                with self._calling():
                    member = await self._bot.get_chat_member(int(chat.chat), int(who.id))
            except NoMember:
                return Standing()
            return Standing(
                administrator=member.status in (ChatMemberStatus.OWNER, ChatMemberStatus.ADMINISTRATOR)
            )

        return await self._members.standing(chat.chat, who.id, ask)

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
        the new id of a group that became a supergroup. A text that is too long for its file's caption goes
        ahead as a message of its own."""
        if _is_too_long_for_caption(part):
            ahead = replace(part, file=None, buttons=())
            chat = (await self.send(chat, ahead, key=key, reply_to=reply_to, facts=facts)).chat
            part = replace(part, text="")
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
        reply = ReplyParameters(int(reply_to.message), allow_sending_without_reply=True) if reply_to else None
        place: dict[str, Any] = {
            "chat_id": int(chat.chat),
            "message_thread_id": _thread(chat),
            "reply_parameters": reply,
            "reply_markup": keyboard(part),
        }

        def call(text: str, entities: Sequence[MessageEntity]) -> Awaitable[Message]:
            if file is None:
                return self._bot.send_message(
                    text=text, entities=entities, link_preview_options=NO_PREVIEW, **place
                )
            caption: dict[str, Any] = {"filename": file.name, "caption": text, "caption_entities": entities}
            if _is_picture(file):
                return self._bot.send_photo(photo=file.content, **caption, **place)
            return self._bot.send_document(document=file.content, **caption, **place)

        try:
            return await self._formatted(chat, part.text, call)
        except Rejected:
            if file is None or not _is_picture(file):
                raise
            return await self._send(chat, replace(part, file=_as_document(file)), reply_to)

    async def edit(
        self, message: MessageRef, part: Part, *, facts: Mapping[str, object] | None = None
    ) -> MessageRef:
        """See Adapter. A file whose text is too long for a caption comes after it, and again if this is
        repeated."""
        await self._budget.take(message.chat.chat)
        if _is_too_long_for_caption(part):
            await self._edit(message, replace(part, file=None))
            await self.send(message.chat, replace(part, text="", buttons=()), key="", reply_to=message)
        else:
            await self._edit(message, part)
        return message

    async def preview(self, message: MessageRef, part: Part) -> bool:
        """See Adapter. A part's file is left to the final edit."""
        if not part.text or not self._budget.try_take(message.chat.chat):
            return False
        try:
            await self._edit(message, replace(part, file=None))
        except RateLimited:
            return False
        return True

    async def _edit(self, message: MessageRef, part: Part) -> None:
        file = part.file
        place: dict[str, Any] = {
            "chat_id": int(message.chat.chat),
            "message_id": int(message.message),
            "reply_markup": keyboard(part),
        }

        def call(text: str, entities: Sequence[MessageEntity]) -> Awaitable[Message | bool]:
            if file is None:
                return self._bot.edit_message_text(
                    text, entities=entities, link_preview_options=NO_PREVIEW, **place
                )
            kind = InputMediaPhoto if _is_picture(file) else InputMediaDocument
            media = kind(file.content, filename=file.name, caption=text, caption_entities=entities)
            return self._bot.edit_message_media(media, **place)

        def call_for_caption(text: str, entities: Sequence[MessageEntity]) -> Awaitable[Message | bool]:
            return self._bot.edit_message_caption(caption=text, caption_entities=entities, **place)

        try:
            await self._formatted(message.chat, part.text, call)
        except NotModified:
            log.debug("A message stands already as it should")
        except NoText:
            with suppress(NotModified):
                await self._formatted(message.chat, part.text, call_for_caption)
        except Rejected:
            if file is None or not _is_picture(file):
                raise
            await self._edit(message, replace(part, file=_as_document(file)))

    async def draft(self, chat: ChatRef, draft: int, text: str) -> bool:
        """See Adapter. Of a text longer than a message its last part is shown."""
        if not self._has_drafts or chat.chat in self._drafting or not self._budget.try_take_draft(chat.chat):
            return False
        thread = _thread(chat)

        def call(text: str, entities: Sequence[MessageEntity]) -> Awaitable[bool]:
            return self._bot.send_message_draft(
                int(chat.chat),
                draft,
                text,
                entities=entities,
                message_thread_id=thread,
                api_kwargs=STOPPABLE if self._stoppable else None,
            )

        self._drafting.add(chat.chat)
        try:
            await self._draft(chat, _last_part(text), call)
        except RateLimited:
            return False
        except UnknownMethod:
            self._has_drafts = False
            log.info("This Bot API server has no message drafts; answers are previewed by edits")
            return False
        finally:
            self._drafting.discard(chat.chat)
        return True

    async def _draft(self, chat: ChatRef, text: str, call: Drafting) -> None:
        """A draft that can be stopped, and if that is refused one that can't."""
        try:
            await self._formatted(chat, text, call)
        except Rejected:
            if not self._stoppable:
                raise
            self._stoppable = False
            try:
                await self._formatted(chat, text, call)
            except AdapterError:
                self._stoppable = True  # that was not the reason
                raise

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
        self._commands = commands
        if commands == self._published:
            return
        for scope, language, entries in menus(commands):
            with self._calling():
                await self._bot.set_my_commands(entries, scope=scope, language_code=language)
        self._published = commands

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


def _is_too_long_for_caption(part: Part) -> bool:
    shown = markup.telegram_text(part.text)[0] if part.file else ""
    return markup.utf16_length(shown) > LONGEST_CAPTION


def _is_picture(file: File) -> bool:
    return file.media_type.startswith("image/")


def _as_document(file: File) -> File:
    """For pictures that Telegram does not take as such: too large, too long, of another format."""
    return replace(file, media_type="application/octet-stream")


def _last_part(text: str) -> str:
    """What fits one message: the last part of a longer text."""
    parts = markup.telegram_parts(text)
    return parts[-1].text if parts else ""
