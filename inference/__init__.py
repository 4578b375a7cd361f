"""The core: tokens in, tokens out. Knows nothing of chats, people or platforms.

async with inference.open_engine("embedded") as engine:
    async for output in engine.generate(Request(messages=[ChatMessage("user", "Hello!")])):
        ...
"""

from inference.embedded import EMBEDDED
from inference.engine import Engine
from inference.errors import ContextTooLong, EngineUnavailable, InferenceError, ModelNotFound, Overloaded
from inference.registry import open_engine
from inference.types import (
    ChatMessage,
    Delta,
    Finished,
    FinishReason,
    Request,
    SamplingParams,
    TokenLogprob,
    Usage,
)

__all__ = [
    "EMBEDDED",
    "ChatMessage",
    "ContextTooLong",
    "Delta",
    "Engine",
    "EngineUnavailable",
    "FinishReason",
    "Finished",
    "InferenceError",
    "ModelNotFound",
    "Overloaded",
    "Request",
    "SamplingParams",
    "TokenLogprob",
    "Usage",
    "open_engine",
]
