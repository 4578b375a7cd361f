"""What the bot itself says, as opposed to its model. One place, so that it can be read at once."""

from __future__ import annotations

from inference import ContextTooLong, EngineUnavailable, Overloaded

SOMETHING_WRONG = "Sorry, something went wrong on my side. Please try again."
NOTHING_SAID = "I have nothing to say to that. Could you put it differently?"
DROPPED = "(This conversation has become longer than I can keep in mind: I no longer see its beginning.)"
RESET = "Done. I have put our conversation aside; we start afresh."
STOPPED = "Stopped."
NOTHING_TO_STOP = "I'm not answering anything just now."
NO_QUESTION = "What would you like to ask? Write it behind the command: /ask How are you?"


def unknown_command(name: str) -> str:
    return f"I don't know the command /{name}. /help tells what I can do."


def for_error(error: Exception) -> str:
    """One friendly sentence: what happened and what to do."""
    match error:
        case ContextTooLong():
            return (
                f"That is too long for me: it has {error.tokens} tokens, and I can read {error.limit} "
                "at once. Could you shorten it?"
            )
        case Overloaded():
            return (
                "Too many people are talking to me just now. "
                f"Please try again in about {max(1, round(error.retry_after))} seconds."
            )
        case EngineUnavailable():
            return "My language model is not available at the moment. Please try again later."
        case _:
            return SOMETHING_WRONG
