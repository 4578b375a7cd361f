"""What every platform's adapter can do. The application speaks to platforms through this and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from adapters.commands import CommandSpec
from adapters.texts import Translate, english
from adapters.types import Attachment, ChatRef, Event, MessageRef, Part, Person, Standing

Publish = Callable[[Event], Awaitable[None]]
"""Hands an event over. Returns once it is durable: only then may an adapter acknowledge it to its platform.
Raises when it could not be stored; the adapter then leaves the event unacknowledged and gets it again."""

Cursors = Callable[[], Awaitable[Mapping[str, str]]]
"""By chat, the platform's id of the newest message that is stored; under "" the newest of all chats. What
came later has to be fetched, on platforms that don't keep it for the bot."""

Suggest = Callable[[str, str, str, ChatRef, Person], Awaitable[Sequence[str]]]
"""Values to propose for a parameter: of a command's name, the parameter's name, what is typed so far, where
and by whom. Quick, never raises."""


async def no_cursors() -> Mapping[str, str]:
    """Nothing is known of the past."""
    return {}


async def no_suggestions(command: str, param: str, typed: str, chat: ChatRef, who: Person) -> Sequence[str]:
    """Nothing to propose."""
    return ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one chat allows. `edit_interval` is the shortest pause between two previews, None where previews
    make no sense; `drafts`: previews are drafts that need no message; `idempotent_send`: a send that is
    repeated with the same key is made once."""

    edit_interval: timedelta | None
    drafts: bool = False
    idempotent_send: bool = False


class Adapter(Protocol):
    """One platform. Every method but `run` may be called from many tasks at once.

    All methods that reach the platform raise `adapters.errors.AdapterError` and nothing else.
    """

    @property
    def platform(self) -> str:
        """The name that every ChatRef of this adapter carries."""
        ...

    async def run(
        self,
        publish: Publish,
        *,
        cursors: Cursors = no_cursors,
        suggest: Suggest = no_suggestions,
        translate: Translate = english,
    ) -> None:
        """Connect, receive and publish until cancelled. What was missed since `cursors` is published first,
        on every connection, in its order; what was published before may come again. `translate` is for what
        the adapter says by itself.

        Raises `Misconfigured` when the set-up is wrong. The methods below may be called as soon as the first
        event was published, or `ready` returned."""
        ...

    async def ready(self) -> None:
        """Returns once the platform is connected and messages can be sent."""
        ...

    def capabilities(self, chat: ChatRef) -> Capabilities: ...

    def parts(self, markdown: str) -> Sequence[Part]:
        """Split an answer into messages that fit. Pure: parts before the last stay the same while the text
        grows, so that a preview can show them as they will be. Empty text gives no part."""
        ...

    async def send(
        self,
        chat: ChatRef,
        part: Part,
        *,
        key: str,
        reply_to: MessageRef | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> MessageRef:
        """Send one message. `key` (at most 25 characters) makes a repetition harmless where the platform can
        tell. A `reply_to` that is gone is no error. `facts` is what is known of the answer (its finish
        reason, its tokens), for platforms that can show it. Waits for the chat's budget."""
        ...

    async def edit(
        self, message: MessageRef, part: Part, *, facts: Mapping[str, object] | None = None
    ) -> MessageRef:
        """Replace a message. Setting what already stands there is no error. Waits for the chat's budget.
        The reference that comes back is the message's lasting one (a placeholder's may have been another)."""
        ...

    async def preview(self, message: MessageRef, part: Part) -> bool:
        """Like `edit`, but droppable: False when the chat's budget has no room just now, nothing was sent."""
        ...

    async def draft(self, chat: ChatRef, draft: int, text: str) -> bool:
        """Show text that is still being written (only where `drafts`). Droppable like `preview`. `draft` is
        the same positive number for all of one answer."""
        ...

    async def delete(self, message: MessageRef) -> None:
        """Remove a message of ours. One that is gone already is no error."""
        ...

    def typing(self, chat: ChatRef) -> AbstractAsyncContextManager[None]:
        """Show that an answer is being prepared, for as long as the context is open. Never raises."""
        ...

    async def download(self, attachment: Attachment, limit: int) -> bytes:
        """Fetch an attachment. Raises Rejected if it is larger than `limit` bytes, having fetched no more."""
        ...

    async def permissions_of(self, chat: ChatRef, who: Person) -> Standing:
        """What the person is in the chat now. Asked for each time: whoever lost a right has lost it at once
        (what is remembered is kept true by the platform's own news of members, or for a minute at most)."""
        ...

    async def publish_commands(self, commands: Sequence[CommandSpec]) -> None:
        """Make the commands known to the platform's menus. Does nothing when they are known already."""
        ...
