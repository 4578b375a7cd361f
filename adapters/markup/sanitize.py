"""What the model may not put into a chat: hidden characters, images, links to anything but web and mail.

Knows nothing of platforms.
"""

from __future__ import annotations

import re

from adapters.markup.blocks import FENCE_LIKE, Code, blocks
from adapters.markup.characters import strip_hidden
from adapters.markup.inline import images_to_text, outside_code, unsafe_links_to_text

# A code span, finished or not, or the beginning of an image and its address as far as it is there.
_IMAGE_ADDRESS = re.compile(r"`+[^\n]*?(?:`+|$)|(?P<image>!\[[^\]\n]*\]\()[^)\n]*", re.MULTILINE)


def sanitize(markdown: str) -> str:
    """Without hidden characters; images become their alternative text and links other than http, https and
    mailto their text. Code keeps what looks like images and links."""
    return "".join(
        block.text
        if isinstance(block, Code)
        else outside_code(block.text, lambda prose: unsafe_links_to_text(images_to_text(prose)))
        for block in blocks(strip_hidden(markdown))
    )


def clean(markdown: str) -> str:
    """The part of `sanitize` that comes before splitting: without hidden characters and without the addresses
    of images, which can be whole files. Only deletes, and never on account of what comes later: the cleaned
    beginning of a text is the beginning of the cleaned text."""
    return "".join(
        block.text if isinstance(block, Code) else _drop_image_addresses(block.text)
        for block in blocks(strip_hidden(markdown))
    )


def _drop_image_addresses(prose: str) -> str:
    if "![" not in prose:
        return prose
    return "\n".join(
        # a line that begins like a fence may yet turn out to be one
        line if FENCE_LIKE.match(line) else _IMAGE_ADDRESS.sub(lambda found: found["image"] or found[0], line)
        for line in prose.split("\n")
    )
