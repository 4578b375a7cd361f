"""The fake's HTTP API: what each route does to the world. Knows nothing of sockets, faults or checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.discord.world import (
    COMMAND,
    CONTENT_LIMIT,
    EPHEMERAL,
    FORM,
    LOADING,
    SUPPRESS_EMBEDS,
    Channel,
    File,
    Invocation,
    Message,
    Payload,
    Person,
    Platform,
    Server,
    snowflake,
    timestamp,
)

CHANNEL_MESSAGE, DEFERRED_CHANNEL_MESSAGE, SHOW_PROPOSALS, OPEN_FORM = 4, 5, 8, 9  # types of a callback
ORIGINAL = "@original"


class ApiError(Exception):
    """What Discord refuses: HTTP status, its own code, and words."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message}


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    route: str  # "POST /channels/{channel_id}/messages", as in Discord's own description
    path: str
    ids: Mapping[str, str]  # what stands in the route's braces
    query: Mapping[str, str]
    body: Any
    files: list[File] = field(default_factory=list)
    at: float = 0.0  # loop seconds


class Api:
    """The routes. Each handler returns what Discord would send, None for an empty answer."""

    def __init__(
        self,
        platform: Platform,
        channels: Callable[[], Mapping[str, Channel]],
        servers: Callable[[], Mapping[str, Server]],
    ) -> None:
        self._platform = platform
        self._channels = channels
        self._servers = servers
        self._by_nonce: dict[tuple[str, str], Message] = {}
        self.commands: list[Payload] = []
        self.routes: dict[str, Callable[[Request], object]] = {
            "GET /users/@me": self._me,
            "GET /oauth2/applications/@me": self._application,
            "GET /applications/{application_id}/commands": self._get_commands,
            "PUT /applications/{application_id}/commands": self._put_commands,
            "GET /guilds/{guild_id}/members/{user_id}": self._member,
            "GET /channels/{channel_id}": lambda request: self._channel(request).payload(),
            "GET /channels/{channel_id}/messages": self._history,
            "POST /channels/{channel_id}/messages": self._create,
            "GET /channels/{channel_id}/messages/{message_id}": self._get,
            "PATCH /channels/{channel_id}/messages/{message_id}": self._edit,
            "DELETE /channels/{channel_id}/messages/{message_id}": self._delete,
            "POST /channels/{channel_id}/typing": self._typing,
            "POST /interactions/{interaction_id}/{interaction_token}/callback": self._callback,
            "POST /webhooks/{webhook_id}/{webhook_token}": self._follow_up,
            "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original": self._edit_original,
            "DELETE /webhooks/{webhook_id}/{webhook_token}/messages/@original": self._delete_original,
        }

    # The bot itself

    def _me(self, request: Request) -> Payload:
        return self._platform.bot.payload()

    def _application(self, request: Request) -> Payload:
        return {
            "id": self._platform.application_id,
            "name": self._platform.bot.name,
            "description": "",
            "icon": None,
            "bot_public": True,
            "bot_require_code_grant": False,
            "owner": Person(snowflake(), "Owner").payload(),
            "verify_key": "",
            "flags": 0,
        }

    def _put_commands(self, request: Request) -> list[Payload]:
        """Discord lists them with ids and defaults, and leaves out what is false or empty."""
        self.commands = [
            {
                **command,
                "id": snowflake(),
                "application_id": self._platform.application_id,
                "version": snowflake(),
                "default_member_permissions": _as_listed(command["default_member_permissions"]),
                "nsfw": False,
                "options": [_listed(option) for option in command["options"]],
            }
            for command in request.body
        ]
        return self.commands

    def _get_commands(self, request: Request) -> list[Payload]:
        """Translations are listed for who asks for them."""
        translated = request.query.get("with_localizations") == "true"
        return [command if translated else _untranslated(command) for command in self.commands]

    def _member(self, request: Request) -> Payload:
        server = self._servers().get(request.ids["guild_id"])
        if server is None:
            raise ApiError(404, 10004, "Unknown Guild")
        person = server.people.get(request.ids["user_id"])
        if person is None or person.id in server.gone:
            raise ApiError(404, 10007, "Unknown Member")
        return {"user": person.payload(), **server.member(person)}

    # Messages

    def _channel(self, request: Request) -> Channel:
        channel = self._channels().get(request.ids["channel_id"])
        if channel is None:
            raise ApiError(404, 10003, "Unknown Channel")
        if channel.hidden:
            raise ApiError(403, 50001, "Missing Access")
        return channel

    def _message(self, request: Request) -> Message:
        message = self._channel(request).find(request.ids["message_id"])
        if message is None or message.ephemeral:
            raise ApiError(404, 10008, "Unknown Message")
        return message

    def _own(self, request: Request) -> Message:
        message = self._message(request)
        if message.author != self._platform.bot:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        return message

    def _history(self, request: Request) -> list[Payload]:
        messages = sorted(self._channel(request).messages, key=lambda message: int(message.id))
        limit = int(request.query.get("limit", 50))
        if (after := request.query.get("after")) is not None:
            page = [message for message in messages if int(message.id) > int(after)][:limit]
        elif (before := request.query.get("before")) is not None:
            page = [message for message in messages if int(message.id) < int(before)][-limit:]
        else:
            page = messages[-limit:]
        return [message.payload() for message in reversed(page)]

    def _create(self, request: Request) -> Payload:
        channel, body = self._channel(request), request.body
        nonce = body.get("nonce")
        if nonce is not None and body.get("enforce_nonce"):
            earlier = self._by_nonce.get((channel.id, nonce))
            if earlier is not None:
                return earlier.payload()
        message = Message(
            channel,
            self._platform.bot,
            _content(body, request.files),
            reply_to=self._reply_to(channel, body),
            files=list(request.files),
            flags=body.get("flags") or 0,
            ping=False,
            nonce=nonce,
            components=_components(body),
        )
        message.type = 19 if message.reply_to else 0
        if nonce is not None:
            self._by_nonce[channel.id, nonce] = message
        self._show(message)
        return message.payload()

    def _reply_to(self, channel: Channel, body: Payload) -> Message | None:
        reference = body.get("message_reference")
        if reference is None:
            return None
        found = channel.find(str(reference["message_id"]))
        if found is None and reference.get("fail_if_not_exists", True):
            raise ApiError(400, 50035, "Invalid Form Body: message_reference: Unknown message")
        return found

    def _show(self, message: Message) -> None:
        message.channel.messages.append(message)
        if not message.ephemeral:
            self._platform.emit("MESSAGE_CREATE", message.event())

    def _get(self, request: Request) -> Payload:
        return self._message(request).payload()

    def _edit(self, request: Request) -> Payload:
        return self._change(self._own(request), request)

    def _change(self, message: Message, request: Request) -> Payload:
        body = request.body
        kept = {str(attachment["id"]) for attachment in body.get("attachments") or ()}
        files = [file for file in message.files if file.id in kept] + request.files
        message.files = files if "attachments" in body else message.files
        message.text = _content(body, message.files)
        message.edits.append(message.text)
        message.edited_at = timestamp()
        if "components" in body:
            message.components = _components(body)
        flags = message.flags & ~LOADING
        if "flags" in body:
            flags = flags & ~SUPPRESS_EMBEDS | body["flags"] & SUPPRESS_EMBEDS
        message.flags = flags
        if not message.ephemeral:
            self._platform.emit("MESSAGE_UPDATE", message.event())
        return message.payload()

    def _delete(self, request: Request) -> None:
        self._remove(self._own(request))

    def _remove(self, message: Message) -> None:
        message.channel.messages.remove(message)
        if not message.ephemeral:
            self._platform.emit("MESSAGE_DELETE", message.gone())

    def _typing(self, request: Request) -> None:
        self._channel(request).typing.append(request.at)

    # Interactions

    def _callback(self, request: Request) -> Payload:
        invocation = self._platform.invocations.get(request.ids["interaction_token"])
        if invocation is None or invocation.id != request.ids["interaction_id"] or invocation.expired:
            raise ApiError(404, 10062, "Unknown interaction")
        if invocation.acknowledged_after is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        waited = request.at - invocation.made_at
        if self._platform.patience is not None and waited > self._platform.patience:
            raise ApiError(404, 10062, "Unknown interaction")
        invocation.acknowledged_after = waited
        data = request.body.get("data") or {}
        if request.body["type"] == SHOW_PROPOSALS:
            invocation.proposals = [choice["value"] for choice in data["choices"]]
            return _answered(invocation)
        if request.body["type"] == OPEN_FORM:
            if invocation.type == FORM:
                raise ApiError(400, 50035, "Invalid Form Body: type: a form can't open a form")
            invocation.form = data
            return _answered(invocation)
        flags = (data.get("flags") or 0) & (EPHEMERAL | SUPPRESS_EMBEDS)
        text = ""
        if request.body["type"] == DEFERRED_CHANNEL_MESSAGE:
            flags |= LOADING
        else:
            text = _content(data, request.files)
        invocation.response = message = self._answer(invocation, text, flags, request.files)
        self._show(message)
        return _answered(invocation)

    def _answer(self, invocation: Invocation, text: str, flags: int, files: list[File]) -> Message:
        return Message(
            invocation.channel,
            self._platform.bot,
            text,
            files=list(files),
            flags=flags,
            type=20 if invocation.type == COMMAND else 0,
            webhook=self._platform.application_id,
            seen_by=invocation.author if flags & EPHEMERAL else None,
        )

    def _invocation(self, request: Request) -> Invocation:
        if request.ids["webhook_id"] != self._platform.application_id:
            raise ApiError(404, 10015, "Unknown Webhook")
        invocation = self._platform.invocations.get(request.ids["webhook_token"])
        if invocation is None or invocation.expired:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        if invocation.response is None:
            raise ApiError(404, 10015, "Unknown Webhook")
        return invocation

    def _original(self, request: Request) -> Message:
        response = self._invocation(request).response
        if response is None or response not in response.channel.messages:
            raise ApiError(404, 10008, "Unknown Message")
        return response

    def _edit_original(self, request: Request) -> Payload:
        return self._change(self._original(request), request)

    def _delete_original(self, request: Request) -> None:
        self._remove(self._original(request))

    def _follow_up(self, request: Request) -> Payload:
        """The first one after a deferral fills the placeholder."""
        invocation = self._invocation(request)
        assert invocation.response is not None
        if invocation.response.thinking:
            return self._change(invocation.response, request)
        flags = (request.body.get("flags") or 0) & (EPHEMERAL | SUPPRESS_EMBEDS)
        message = self._answer(invocation, _content(request.body, request.files), flags, request.files)
        message.components = _components(request.body)
        invocation.followups.append(message)
        self._show(message)
        return message.payload()


def _content(body: Payload, files: list[File]) -> str:
    """Discord strips what is sent, and refuses what is empty or too long."""
    text = (body.get("content") or "").strip()
    if len(text) > CONTENT_LIMIT:
        raise ApiError(400, 50035, "Invalid Form Body: content: Must be 2000 or fewer in length.")
    if not text and not files:
        raise ApiError(400, 50006, "Cannot send an empty message")
    return text


def _components(body: Payload) -> list[Payload]:
    """Rows of components, within Discord's limits."""
    rows: list[Payload] = body.get("components") or []
    if len(rows) > 5 or any(not 1 <= len(row["components"]) <= 5 for row in rows):
        raise ApiError(400, 50035, "Invalid Form Body: components: too many or too few")
    ids = [component["custom_id"] for row in rows for component in row["components"]]
    if len(set(ids)) < len(ids):
        raise ApiError(400, 50035, "Invalid Form Body: components: Component custom id cannot be duplicated")
    return rows


def _answered(invocation: Invocation) -> Payload:
    """What a callback gives back, if it is asked for."""
    return {"interaction": {"id": invocation.id, "type": invocation.type}}


def _as_listed(permissions: int | None) -> str | None:
    return None if permissions is None else str(permissions)


def _listed(option: Payload) -> Payload:
    """An option as Discord lists it."""
    kept = {name: value for name, value in option.items() if value not in (False, [], {})}
    if "options" in kept:
        kept["options"] = [_listed(inner) for inner in kept["options"]]
    return kept


def _untranslated(command: Payload) -> Payload:
    kept = {name: value for name, value in command.items() if name != "description_localizations"}
    return kept | {"options": [_untranslated(option) for option in command.get("options", ())]}
