"""What the bot itself says, as opposed to its model. One place, so that it can be read at once."""

from __future__ import annotations

from bot import amounts
from bot.i18n import N_, _, _n
from inference import ContextTooLong, EngineUnavailable, Overloaded

# Translated where they are shown.
SOMETHING_WRONG = N_("Sorry, something went wrong on my side. Please try again.")
NOTHING_SAID = N_("I have nothing to say to that. Could you put it differently?")
STILL_THINKING = N_("I was still thinking when my answer had reached its full length. Please ask for less.")
DROPPED = N_("(This conversation has become longer than I can keep in mind: I no longer see its beginning.)")
SUMMARISED = N_("(This conversation has become long: of its beginning I keep a summary in mind.)")
RESET = N_("Done. I have put our conversation aside; we start afresh.")
STOPPED = N_("Stopped.")
NOTHING_TO_STOP = N_("I'm not answering anything just now.")
NO_QUESTION = N_("What would you like to ask? Write it behind the command: /ask How are you?")
NOTHING_TO_RETRY = N_("There is no answer of mine yet that I could give anew. Just ask me something.")
NOTHING_TO_CONTINUE = N_("There is no answer of mine yet that I could go on with. Just ask me something.")
COMPLETE = N_("My last answer was complete. If you would like to know more, just ask.")
FILES_OFF = N_("Reading files is switched off here.")


def unknown_command(name: str) -> str:
    return _("I don't know the command /{name}. /help tells what I can do.").format(name=name)


def for_error(error: Exception) -> str:
    """One friendly sentence: what happened and what to do."""
    match error:
        case ContextTooLong():
            return _(
                "That is too long for me: it has {tokens}, and I can read {limit} at once. "
                "Could you shorten it?"
            ).format(tokens=amounts.tokens(error.tokens), limit=error.limit)
        case Overloaded():
            return _("Too many people are talking to me just now. Please try again in about {time}.").format(
                time=amounts.duration(error.retry_after)
            )
        case EngineUnavailable():
            return _("My language model is not available at the moment. Please try again later.")
    return _(SOMETHING_WRONG)


def place_in_queue(place: int, seconds: float) -> str:
    """Shown once to whom must wait. `seconds` is an estimate."""
    return _(
        "Many people are talking to me just now: you are number {place} in the queue. "
        "I expect to answer in about {time}."
    ).format(place=place, time=amounts.duration(seconds))


def too_many_waiting(waiting: int) -> str:
    """To a person who has `waiting` messages waiting already."""
    return _n(
        "You have {waiting} message waiting already, and I can't take more before I have answered it. "
        "Please send this again later.",
        "You have {waiting} messages waiting already, and I can't take more before I have answered those. "
        "Please send this again later.",
        waiting,
    ).format(waiting=waiting)


def too_busy() -> str:
    return _("Too many people are talking to me just now. Please send this again in some minutes.")


def given_up() -> str:
    """To whom an answer failed again and again."""
    return _(
        "Sorry, I have tried several times, but something in this makes me fail. I have put it aside "
        "for the people who look after me; please try it in other words."
    )
