"""Settings by scope: for a person, a thread, a channel, a server, a platform. The first that is set wins,
then the default, which is the bot's own file.

    person ─▶ thread ─▶ channel ─▶ server ─▶ platform ─▶ default

Knows nothing of commands or of who may change what; `access` decides that. What is resolved is remembered
until a setting changes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from adapters.commands import Permission
from bot.access import Place
from bot.config import Settings
from bot.i18n import LANGUAGES, N_, _
from bot.store import settings as stored
from bot.store.session import Database

Value = str | int | float | bool | tuple[str, ...] | None

REMEMBERED = 10_000  # resolved places and people, the least recently used forgotten first
LONGEST_TEXT = 4000  # characters of a system prompt


class ScopeKind(StrEnum):
    """In the order in which they are looked at."""

    PERSON = "person"
    THREAD = "thread"
    CHANNEL = "channel"
    SERVER = "server"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a setting is set for. `id` is the platform's, a thread's after its channel's ("7/12"); that of a
    platform is empty."""

    platform: str
    kind: ScopeKind
    id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else f"{self.kind}:{self.platform}"


class When(StrEnum):
    """When the bot answers among people. In a private chat it always does."""

    MENTION = "mention"  # when it is named
    REPLY = "reply"  # likewise, when it is replied to, and in threads that it takes part in
    ALWAYS = "always"  # every message
    NEVER = "never"  # commands only
    THREADS = "threads"  # like REPLY, but in threads alone


class WrongValue(ValueError):
    """A value that a setting can't take. The message says what it can take."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: what it is for, what it takes, and who may set it where. `person` is who may set it for
    themselves, `place` who may for a server, its channels and threads. `choices`, if any, are its values."""

    key: str
    description: str
    takes: str  # type and range, for people
    parse: Callable[[str], Value]
    default: Callable[[Settings], Value]
    person: Permission = Permission.OWNER
    place: Permission = Permission.ADMINISTRATOR
    choices: tuple[str, ...] = ()

    def needs(self, kind: ScopeKind) -> Permission:
        """Who may set it there."""
        if kind is ScopeKind.PLATFORM:
            return Permission.OWNER
        return self.person if kind is ScopeKind.PERSON else self.place


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise WrongValue(_("a number from {low} to {high}").format(low=f"{low:g}", high=f"{high:g}"))
    return value


def _whole(text: str, low: int, high: int) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12 or not low <= int(text) <= high:
        raise WrongValue(_("a whole number from {low} to {high}").format(low=low, high=high))
    return int(text)


def _switch(text: str) -> bool:
    match text.lower():
        case "on" | "true" | "yes" | "1":
            return True
        case "off" | "false" | "no" | "0":
            return False
    raise WrongValue(_("on or off"))


def _one_of(text: str, choices: Sequence[str]) -> str:
    if text.lower() not in choices:
        raise WrongValue(_("one of {choices}").format(choices=", ".join(choices)))
    return text.lower()


def _text(text: str, longest: int) -> str:
    if not 0 < len(text) <= longest or any(ord(one) < 32 and one not in "\n\t" for one in text):
        raise WrongValue(_("a text of at most {count} characters").format(count=longest))
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if not names or len(names) > 50 or any(len(name) > 200 for name in names):
        raise WrongValue(_("names with spaces between them, or all"))
    return names


ALL_MODELS = ("all",)
_SWITCH = ("on", "off")
_MODES = tuple(When)
_LANGUAGE_CHOICES = ("auto", *LANGUAGES)


def _switched(
    key: str,
    description: str,
    default: bool,
    *,
    person: Permission = Permission.OWNER,
    place: Permission = Permission.ADMINISTRATOR,
) -> Setting:
    return Setting(key, description, N_("on or off"), _switch, lambda _: default, person, place, _SWITCH)


SETTINGS: Mapping[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            "temperature",
            N_("how freely I answer; 0 is the likeliest answer"),
            N_("a number from 0 to 2"),
            partial(_number, low=0, high=2),
            lambda settings: settings.model.temperature,
            person=Permission.EVERYONE,
        ),
        Setting(
            "top_p",
            N_("the share of likely words that I choose from"),
            N_("a number from 0.01 to 1"),
            partial(_number, low=0.01, high=1),
            lambda _: None,
            person=Permission.EVERYONE,
        ),
        Setting(
            "max_tokens",
            N_("tokens that an answer may have"),
            N_("a whole number from 1 to 32768"),
            partial(_whole, low=1, high=32_768),
            lambda settings: settings.model.max_tokens,
        ),
        Setting(
            "persona",
            N_("the persona that I have"),
            N_("the name of a persona"),
            partial(_text, longest=32),
            lambda _: None,
            person=Permission.EVERYONE,
        ),
        Setting(
            "system",
            N_("an own text that tells me how to be, instead of a persona"),
            N_("a text of at most 4000 characters"),
            partial(_text, longest=LONGEST_TEXT),
            lambda settings: settings.persona.prompt,
            person=Permission.EVERYONE,
        ),
        _switched("system_allowed", N_("whether people may write such a text with /system"), True),
        Setting(
            "model",
            N_("the language model that answers"),
            N_("the name of a loaded model"),
            partial(_text, longest=200),
            lambda _: None,
            person=Permission.EVERYONE,
        ),
        Setting(
            "models_allowed",
            N_("models that may be chosen"),
            N_("names with spaces between them, or all"),
            _names,
            lambda _: ALL_MODELS,
            place=Permission.OWNER,
        ),
        Setting(
            "language",
            N_("the language of my own texts; auto is each person's"),
            N_("auto, en, de, es, fr, ru or zh"),
            partial(_one_of, choices=_LANGUAGE_CHOICES),
            lambda _: "auto",
            person=Permission.EVERYONE,
            choices=_LANGUAGE_CHOICES,
        ),
        Setting(
            "when",
            N_("when I answer among people"),
            N_("mention, reply, always, never or threads"),
            partial(_one_of, choices=_MODES),
            lambda _: When.REPLY.value,
            choices=_MODES,
        ),
        _switched(
            "show_thinking",
            N_("whether my thoughts are shown, hidden from view"),
            False,
            person=Permission.EVERYONE,
        ),
        _switched(
            "stream", N_("whether an answer is shown while it is written"), True, person=Permission.EVERYONE
        ),
        _switched("summarise", N_("whether I sum up what no longer fits into my memory"), True),
        _switched("feedback", N_("whether there are 👍 and 👎 under my answers"), False),
        _switched("attachments", N_("whether I read files"), True),
        _switched(
            "broadcasts",
            N_("whether news of my owner are sent here"),
            True,
            person=Permission.EVERYONE,
        ),
    )
}
"""Every setting, by its name."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value, and where it is set; None for the default."""

    value: Value
    source: Scope | None

    @property
    def nearness(self) -> int:
        """How near to the person it is set: 0 for the person, more for wider scopes, most for the default."""
        kinds = list(ScopeKind)
        return len(kinds) if self.source is None else kinds.index(self.source.kind)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What holds for a person in a place."""

    held: Mapping[str, Held]

    def _value(self, key: str) -> Value:
        return self.held[key].value

    @property
    def temperature(self) -> float | None:
        value = self._value("temperature")
        return float(value) if isinstance(value, int | float) else None

    @property
    def top_p(self) -> float | None:
        value = self._value("top_p")
        return float(value) if isinstance(value, int | float) else None

    @property
    def max_tokens(self) -> int:
        value = self._value("max_tokens")
        assert isinstance(value, int)
        return value

    @property
    def persona(self) -> str | None:
        return self._optional_text("persona")

    @property
    def system(self) -> str | None:
        """An own prompt, where the setting allows one; the one that the bot's owner wrote always counts."""
        held = self.held["system"]
        mine = held.source is not None and held.source.kind is ScopeKind.PERSON
        return self._optional_text("system") if self.system_allowed or not mine else None

    @property
    def system_allowed(self) -> bool:
        return self._value("system_allowed") is True

    @property
    def model(self) -> str | None:
        return self._optional_text("model")

    @property
    def models_allowed(self) -> tuple[str, ...]:
        """Names, or ALL_MODELS."""
        value = self._value("models_allowed")
        assert isinstance(value, tuple)
        return value

    def allows_model(self, name: str) -> bool:
        return self.models_allowed == ALL_MODELS or name in self.models_allowed

    @property
    def language(self) -> str | None:
        """A language tag; None where each person's own counts."""
        value = self._optional_text("language")
        return None if value == "auto" else value

    @property
    def when(self) -> When:
        return When(str(self._value("when")))

    @property
    def show_thinking(self) -> bool:
        return self._value("show_thinking") is True

    @property
    def stream(self) -> bool:
        return self._value("stream") is True

    @property
    def summarise(self) -> bool:
        return self._value("summarise") is True

    @property
    def feedback(self) -> bool:
        return self._value("feedback") is True

    @property
    def attachments(self) -> bool:
        return self._value("attachments") is True

    @property
    def broadcasts(self) -> bool:
        return self._value("broadcasts") is True

    def _optional_text(self, key: str) -> str | None:
        value = self._value(key)
        return None if value is None else str(value)


def scopes_of(place: Place, person: str | None) -> list[Scope]:
    """The scopes that a place lies in, the nearest first. A Discord thread is a chat of its own in a channel
    that `place.parent` names; elsewhere a thread is a part of its chat."""
    platform = place.chat.platform
    found = [Scope(platform, ScopeKind.PERSON, person)] if person is not None else []
    thread, channel = thread_of(place), place.parent or place.chat.chat
    if thread is not None:
        found.append(Scope(platform, ScopeKind.THREAD, thread))
    found.append(Scope(platform, ScopeKind.CHANNEL, channel))
    if place.server is not None:
        found.append(Scope(platform, ScopeKind.SERVER, place.server))
    return [*found, Scope(platform, ScopeKind.PLATFORM)]


def here(place: Place) -> Scope:
    """The scope of a conversation: its thread, else its channel or chat."""
    thread = thread_of(place)
    if thread is not None:
        return Scope(place.chat.platform, ScopeKind.THREAD, thread)
    return Scope(place.chat.platform, ScopeKind.CHANNEL, place.parent or place.chat.chat)


def thread_of(place: Place) -> str | None:
    """The id of the thread as a scope; None outside threads."""
    if place.parent is not None:
        return place.chat.chat
    return f"{place.chat.chat}/{place.chat.thread}" if place.chat.thread else None


def parse(key: str, text: str) -> Value:
    """The value that a person has written. Raises WrongValue, and KeyError for an unknown setting."""
    return SETTINGS[key].parse(text.strip())


def shown(value: Value) -> str:
    """A value as a person would write it."""
    match value:
        case None:
            return "-"
        case bool():
            return "on" if value else "off"
        case tuple():
            return " ".join(value)
        case float():
            return f"{value:g}"
    return str(value)


class Scopes:
    """The settings of every scope. What is resolved is remembered until `forget`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._known: OrderedDict[tuple[Scope, ...], Resolved] = OrderedDict()
        self._generation = 0  # counts what was forgotten, so that nothing old is remembered after that
        self._reading = asyncio.Semaphore(4)

    async def resolve(self, place: Place, person: str | None) -> Resolved:
        """What holds for a person in a place, or in the place for anyone: one query at most."""
        scopes = tuple(scopes_of(place, person))
        known = self._known.get(scopes)
        if known is not None:
            self._known.move_to_end(scopes)
            return known
        generation = self._generation
        async with self._reading, self._database.read() as session:
            resolved = await self.read(session, scopes)
        if generation == self._generation:
            self._known[scopes] = resolved
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return resolved

    async def read(self, session: AsyncSession, scopes: Iterable[Scope]) -> Resolved:
        """What is set, read from the database in the caller's transaction."""
        order = list(scopes)
        rows = await stored.of_scopes(session, order[0].platform, [(one.kind, one.id) for one in order])
        by_scope = {(row.scope, row.scope_id, row.key): row.value for row in rows}
        held = {}
        for key, setting in SETTINGS.items():
            found = Held(setting.default(self._settings), None)
            for scope in order:
                if (text := by_scope.get((scope.kind, scope.id, key))) is not None:
                    value = _read_back(setting, text)
                    if value is not None:
                        found = Held(value, scope)
                        break
            held[key] = found
        return Resolved(held)

    async def set(self, session: AsyncSession, scope: Scope, key: str, value: Value) -> None:
        """Set a value in the caller's transaction; `forget` when that is committed."""
        await stored.put(session, scope.platform, scope.kind, scope.id, key, shown(value))

    async def reset(self, session: AsyncSession, scope: Scope, key: str) -> bool:
        """Take a value back; False if none was set. `forget` when that is committed."""
        return await stored.remove(session, scope.platform, scope.kind, scope.id, key)

    def forget(self) -> None:
        """Something was set: read everything anew."""
        self._generation += 1
        self._known.clear()


def _read_back(setting: Setting, text: str) -> Value:
    """A stored value; None if it is no longer one that the setting takes."""
    try:
        return setting.parse(text)
    except WrongValue:
        return None
