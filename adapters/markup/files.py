"""Long code as a file: its name and its content. Knows nothing of how long is long."""

from __future__ import annotations

import re

from adapters.markup.blocks import Code
from adapters.types import File, Part

_EXTENSIONS = {
    "assembly": "asm",
    "bash": "sh",
    "batch": "bat",
    "c#": "cs",
    "c++": "cpp",
    "clojure": "clj",
    "csharp": "cs",
    "elixir": "ex",
    "erlang": "erl",
    "golang": "go",
    "haskell": "hs",
    "javascript": "js",
    "julia": "jl",
    "kotlin": "kt",
    "latex": "tex",
    "markdown": "md",
    "matlab": "m",
    "objective-c": "m",
    "ocaml": "ml",
    "perl": "pl",
    "powershell": "ps1",
    "python": "py",
    "python3": "py",
    "ruby": "rb",
    "rust": "rs",
    "shell": "sh",
    "typescript": "ts",
    "yml": "yaml",
    "zsh": "sh",
}
_USED_AS_IS = re.compile(
    r"asm|bat|c|cc|clj|cpp|cs|css|csv|dart|diff|ex|go|graphql|h|hpp|hs|html|ini|java|jl|js|json|jsx|kt|lua|md"
    r"|nix|php|pl|proto|ps1|py|r|rb|rs|scala|scss|sh|sol|sql|svelte|swift|tex|toml|ts|tsx|vue|xml|yaml|zig"
)


def as_file(code: Code) -> Part:
    """A part that sends the code block as a file; its text names the file."""
    language = code.fence.language
    extension = _EXTENSIONS.get(language) or (language if _USED_AS_IS.fullmatch(language) else "txt")
    name = f"code.{extension}"
    return Part(text=f"`{name}`", file=File(name, code.content().encode()))
