"""From answer to chat: previews while it is being written, the durable final afterwards.

Knows nothing of how an answer comes about. Streaming is best effort: a preview may be dropped, refused or
late, and nothing depends on it. The final goes through the outbox, which repeats until it is delivered.

What is repeated must not come twice. An edit that is repeated does no harm, and a platform with idempotent
sends knows a message by its key. Elsewhere (Telegram) nobody can know, after a crash or when no answer came,
whether a send has arrived. There only the opening of a message is sent, its place is stored, and an edit
makes it whole. A whole answer thus stands there once; what may be left, if a process dies between the
platform's acting and our writing, is an opening beside it. The outbox counts each such doubt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.base import Adapter
from adapters.errors import AdapterError, Forbidden, InDoubt, NotFound, RateLimited, Rejected
from adapters.markup import plain_text
from adapters.types import Button, ChatRef, MessageRef, Part
from bot.store import history, outbox
from bot.store.outbox import Action, Delivery, Outgoing
from bot.store.session import Database
from bot.store.units import Work

log = logging.getLogger(__name__)

SLOWER_EVERY = 2000  # characters after which previews come half as often again
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_OPENING = 100  # characters
AT_ONCE = timedelta(seconds=0.3)  # an answer that takes no longer needs no sign that one is being written
LAST_REQUEST = timedelta(seconds=30)  # for a preview under way when the answer ends

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
SavePlaceholder = Callable[[int, MessageRef], Awaitable[None]]
"""Remembers the preview of a part, before the next one is sent."""


def part_key(key: str, part: int) -> str:
    """The key under which a part of an answer is sent, preview or final; at most 25 characters."""
    return f"{key}-{part}"


class Preview:
    """Shows that an answer is being written, and what of it there is; the newest text wins.

    Open it with `async with`; `show` never waits. An answer that is whole at once is not shown beforehand.
    `messages` are the previews that stand in the chat: the final edits them. Leaving the context waits for a
    request that is under way, so that no late preview can overwrite the final.
    """

    def __init__(
        self,
        adapter: Adapter,
        chat: ChatRef,
        key: str,
        *,
        reply_to: MessageRef | None,
        messages: Iterable[MessageRef],
        save: SavePlaceholder,
        begin: Callable[[], Awaitable[None]],
        buttons: tuple[tuple[Button, ...], ...] = (),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._adapter = adapter
        self._chat = chat
        self._buttons = buttons  # under the newest message, until the answer is whole
        self._key = key
        self._reply_to = reply_to
        self._save = save
        self._begin = begin
        self._sleep = sleep
        self._capabilities = adapter.capabilities(chat)
        self.messages = list(messages)
        self._shown: dict[int, Part] = {}
        self._text: Callable[[], str] = str
        self._news = asyncio.Event()
        self._ending = asyncio.Event()
        self._beginning: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._beginning = loop.call_later(AT_ONCE.total_seconds(), self._begun)
        return self

    def _begun(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"preview {self._key}")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
        if self._task is None:
            return
        self._ending.set()
        self._news.set()
        # Also when the turn is cancelled: a message that is being sent now shall be remembered.
        await asyncio.wait([self._task], timeout=LAST_REQUEST.total_seconds())
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def show(self, text: Callable[[], str]) -> None:
        """The answer so far; it is asked for when it is shown, which is seldom."""
        self._text = text
        self._news.set()

    async def _run(self) -> None:
        async with self._adapter.typing(self._chat):
            if self._capabilities.edit_interval is not None:
                await self._show_all(self._capabilities.edit_interval)
            await self._ending.wait()

    async def _show_all(self, interval: timedelta) -> None:
        await self._until_ending(self._begin())
        while not self._ending.is_set():
            await self._news.wait()
            self._news.clear()
            if self._ending.is_set():
                return
            text = self._text()
            pause = interval * (1 + len(text) / SLOWER_EVERY / 2)
            try:
                await self._update(text)
            except RateLimited as limited:
                pause = max(pause, limited.retry_after)
            except (Forbidden, NotFound, InDoubt) as error:  # in doubt: another would stand beside it
                log.info("no previews in %s: %s", self._chat, error)
                return
            except AdapterError as error:
                log.info("a preview in %s was not shown: %s", self._chat, error)
            await self._until_ending(self._sleep(pause.total_seconds()))

    async def _until_ending(self, waiting: Awaitable[None]) -> None:
        """Wait, but no longer than the answer takes."""
        tasks = [asyncio.ensure_future(waiting), asyncio.create_task(self._ending.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _update(self, text: str) -> None:
        parts = self._adapter.parts(text)
        if self._capabilities.drafts:
            if parts:
                await self._adapter.draft(self._chat, draft_number(self._key), parts[-1].text)
            return
        for index, whole in enumerate(parts):
            part = replace(whole, buttons=self._buttons) if index == len(parts) - 1 else whole
            if self._shown.get(index) == part:
                continue
            if index < len(self.messages):
                if not await self._adapter.preview(self.messages[index], part):
                    return
            else:
                reply_to = self._reply_to if index == 0 else self.messages[0]
                if not self._capabilities.idempotent_send:
                    part = Part(f"{part.text} …")  # should it be left behind, it is seen to be unfinished
                message = await self._adapter.send(
                    self._chat, part, key=part_key(self._key, index), reply_to=reply_to
                )
                self.messages.append(message)
                await self._save(index, message)
            self._shown[index] = part


def draft_number(key: str) -> int:
    """A draft's number: positive, and the same for all of one answer. `key` is hexadecimal."""
    return int(key[:7], 16) + 1


def final(
    key: str,
    parts: Sequence[Part],
    placeholders: Sequence[MessageRef],
    *,
    reply_to: MessageRef | None,
    facts: Mapping[str, object] | None = None,
) -> list[tuple[str, Outgoing]]:
    """What brings the chat from its previews to the answer: edit those that stand, send the rest, remove what
    is left over. Only the first part is a reply; `facts` go with the last."""
    outgoing: list[tuple[str, Outgoing]] = []
    for index, part in enumerate(parts):
        target = placeholders[index].message if index < len(placeholders) else None
        first = placeholders[0] if placeholders else None
        answered = reply_to if index == 0 else first
        one = Outgoing(
            Action.SEND if target is None else Action.EDIT,
            part,
            target=target,
            reply_to=None if answered is None else answered.message,
            facts=facts if index == len(parts) - 1 else None,
        )
        outgoing.append((part_key(key, index), one))
    for index, extra in enumerate(placeholders[len(parts) :], start=len(parts)):
        outgoing.append((part_key(key, index), Outgoing(Action.DELETE, Part(""), target=extra.message)))
    return outgoing


class _Queue:
    """A chat whose messages are being sent. `news`: something was added since the last look."""

    def __init__(self) -> None:
        self.news = False
        self.empty = asyncio.Event()


class OutboxWorker:
    """Sends what the outbox holds: in order within a chat, chats beside one another.

    Its tasks live in the task group that it is given. What is sent twice because a crash came in between is
    recognised by its key or is the repetition of an edit.
    """

    def __init__(
        self,
        database: Database,
        adapters: Mapping[str, Adapter],
        tasks: asyncio.TaskGroup,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._tasks = tasks
        self._sleep = sleep
        self._queues: dict[tuple[str, str], _Queue] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._closing = False

    async def recover(self, platform: str) -> None:
        """Take up what an earlier run did not deliver."""
        async with self._database.read() as session:
            chats = await outbox.waiting_chats(session, platform)
        for chat in chats:
            self.notify(ChatRef(platform, chat))

    def notify(self, chat: ChatRef) -> None:
        """There is something to send in this chat."""
        key = (chat.platform, chat.chat)
        queue = self._queues.get(key)
        if queue is None:
            queue = _Queue()
            work = self._send_all(*key, queue)
            try:
                task = self._tasks.create_task(work, name=f"outbox {key}")
            except RuntimeError:  # the task group has ended; the next run sends it
                work.close()
                return
            self._queues[key] = queue
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        queue.news = True

    async def drained(self, chat: ChatRef) -> None:
        """Returns when nothing waits to be sent in this chat."""
        queue = self._queues.get((chat.platform, chat.chat))
        if queue is not None:
            await queue.empty.wait()

    async def all_drained(self) -> None:
        """Returns when nothing waits to be sent anywhere."""
        while self._queues:
            await next(iter(self._queues.values())).empty.wait()

    async def close(self, grace: timedelta) -> None:
        """Begin no further delivery and let those under way end, so that none is in doubt; one that only
        waits for its platform is left to the next run."""
        self._closing = True
        if self._sending:
            _, unfinished = await asyncio.wait(self._sending, timeout=grace.total_seconds())
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _send_all(self, platform: str, chat: str, queue: _Queue) -> None:
        try:
            while queue.news and not self._closing:
                queue.news = False
                deliveries = await self._next(platform, chat)
                if len(deliveries) == outbox.AT_ONCE:  # there may be more
                    queue.news = True
                for delivery in deliveries:
                    if delivery.begun or not self._closing:
                        await self._deliver(delivery)
        finally:
            del self._queues[platform, chat]
            queue.empty.set()

    async def _next(self, platform: str, chat: str) -> list[Delivery]:
        repeatable = self._adapters[platform].capabilities(ChatRef(platform, chat)).idempotent_send
        return await self._write(partial(outbox.take, platform=platform, chat=chat, repeatable=repeatable))

    async def _deliver(self, delivery: Delivery) -> None:
        """Repeat one delivery until it is made or can never be."""
        pause = FIRST_PAUSE
        if delivery.in_doubt:
            log.warning("an answer in %s may have arrived before; it is sent again", delivery.chat)
            await self._write(partial(outbox.mark_doubtful, delivery=delivery))
        while True:
            try:
                delivery = await self._opened(delivery)
                message = await _carry_out(self._adapters[delivery.chat.platform], delivery)
                break
            except (Forbidden, NotFound, Rejected) as error:
                log.error("an answer in %s can't be delivered: %s", delivery.chat, error)
                await self._write(partial(outbox.mark_failed, delivery=delivery, error=str(error)))
                return
            except RateLimited as limited:
                log.info("%s asks to wait %s", delivery.chat, limited.retry_after)
                await self._sleep(limited.retry_after.total_seconds())
            except AdapterError as error:
                log.warning("%s; the answer in %s is sent again in %s", error, delivery.chat, pause)
                await self._sleep(pause.total_seconds())
                pause = min(pause * 2, LONGEST_PAUSE)
            except Exception as error:
                log.exception("an answer in %s can't be delivered", delivery.chat)
                await self._write(partial(outbox.mark_failed, delivery=delivery, error=repr(error)))
                return
        await self._write(partial(_record, delivery=delivery, message=message))

    async def _opened(self, delivery: Delivery) -> Delivery:
        """Where a send can't be repeated unseen: send its opening, and go on with an edit of that."""
        outgoing = delivery.outgoing
        adapter = self._adapters[delivery.chat.platform]
        if outgoing.action is not Action.SEND or adapter.capabilities(delivery.chat).idempotent_send:
            return delivery
        if not delivery.begun:
            await self._write(partial(outbox.mark_sending, delivery=delivery))
        begun = replace(delivery, outgoing=replace(outgoing, part=opening(outgoing.part)))
        while True:
            try:
                message = await _carry_out(adapter, begun)
                break
            except InDoubt as error:
                log.warning("%s; an answer in %s may have arrived; it is sent again", error, delivery.chat)
                await self._write(partial(outbox.mark_doubtful, delivery=delivery))
                await self._sleep(FIRST_PAUSE.total_seconds())
        assert message is not None
        return await self._write(partial(outbox.mark_opened, delivery=delivery, message=message))

    async def _write(self, work: Work[T]) -> T:
        """Store something, however long the database needs: what was sent must not be sent again because
        nobody wrote that down."""
        return await self._database.insist(work, sleep=self._sleep)


def opening(part: Part) -> Part:
    """The beginning of a message, cut between words and marked as unfinished; half of it at most, so that
    nobody takes it for the whole."""
    text = plain_text(part.text)
    cut = text[: min(LONGEST_OPENING, len(text) // 2)]
    begun = cut.rpartition(" ")[0].rstrip()
    return Part(f"{begun} …" if begun else "…")


async def _record(session: AsyncSession, *, delivery: Delivery, message: MessageRef | None) -> None:
    await outbox.mark_sent(session, delivery, datetime.now(UTC))
    if message is not None and delivery.message_id is not None:
        await history.add_place(session, delivery.message_id, message.message)


async def _carry_out(adapter: Adapter, delivery: Delivery) -> MessageRef | None:
    outgoing = delivery.outgoing
    target = outbox.target_of(delivery)
    if target is not None and outgoing.action is Action.DELETE:
        await adapter.delete(target)
        return None
    if target is not None and outgoing.action is Action.EDIT:
        try:
            return await adapter.edit(target, outgoing.part, facts=outgoing.facts)
        except NotFound:
            log.info("the preview in %s is gone; the answer is sent anew", delivery.chat)
    return await adapter.send(
        delivery.chat,
        outgoing.part,
        key=delivery.key,
        reply_to=outbox.reply_of(delivery),
        facts=outgoing.facts,
    )
