"""The model's Markdown, as each platform gets it: what becomes of it, where it is cut, what is kept."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.markup import (
    discord_parts,
    discord_text,
    plain_text,
    sanitize,
    split,
    telegram_parts,
    telegram_text,
    utf16_length,
)
from adapters.markup.blocks import Code, blocks
from adapters.markup.sanitize import clean
from adapters.types import Part

DISCORD_LIMIT = 2000
TELEGRAM_LIMIT = 4096
TELEGRAM_ENTITIES = 100


def at_most(limit: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= limit


def texts(markdown: str, limit: int = 300) -> list[str]:
    return [part.text for part in split(markdown, at_most(limit))]


def formatted(markdown: str) -> list[tuple[str, str]]:
    """(type, content) of each of Telegram's entities."""
    text, entities = telegram_text(markdown)
    units = text.encode("utf-16-le")
    return [
        (entity.type, units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le"))
        for entity in entities
    ]


class TestLength:
    @pytest.mark.parametrize(
        ("text", "units"), [("", 0), ("abc", 3), ("é", 1), ("日本", 2), ("😀", 2), ("\ud83d", 1)]
    )
    def test_counts_utf16_units(self, text: str, units: int) -> None:
        assert utf16_length(text) == units


class TestSanitize:
    @pytest.mark.parametrize(
        "hidden",
        [
            "\u202e",
            "\u2066",
            "\u200f",
            "\u061c",
            "\u200b",
            "\u2060",
            "\ufeff",
            "\U000e0041",
            "\x00",
            "\x1b",
            "\r",
            "\ud800",
        ],
    )
    def test_hidden_characters_go(self, hidden: str) -> None:
        assert sanitize(f"be{hidden}fore") == "before"

    def test_they_go_from_code_too(self) -> None:
        assert sanitize("```\na\u202eb\n```") == "```\nab\n```"

    def test_tabs_and_line_breaks_stay(self) -> None:
        assert sanitize("a\tb\r\nc\n") == "a\tb\nc\n"

    def test_joiners_stay_in_emoji_and_words(self) -> None:
        assert sanitize("👨‍👩‍👧 می‌خواهم") == "👨‍👩‍👧 می‌خواهم"

    def test_joiners_that_join_nothing_go(self) -> None:
        assert sanitize("\u200da \u200d\u200d.") == "a ."

    @pytest.mark.parametrize(
        ("markdown", "clean_markdown"),
        [
            ("see ![a cat](https://cats.example/1.png) here", "see a cat here"),
            ("![](data:image/png;base64,AAAA)", ""),
            ('![a](http://x.example "title")', "a"),
            ("[me](tg://user?id=1)", "me"),
            ("[run](javascript:alert(1))", "run"),
            ("[run](<tg://resolve?domain=x>)", "run"),
            ("[file](../notes.md)", "file"),
            ("[![badge](http://a.example/b.svg)](https://c.example)", "[badge](https://c.example)"),
            ("[![badge](http://a.example/b.svg)](tg://x)", "badge"),
        ],
    )
    def test_images_and_odd_links_become_text(self, markdown: str, clean_markdown: str) -> None:
        assert sanitize(markdown) == clean_markdown

    @pytest.mark.parametrize(
        "markdown",
        [
            "[web](https://example.com/a_(b))",
            "[web](HTTP://example.com)",
            "[mail](mailto:a@example.com)",
            "`![alt](url)` and ``[x](tg://y)``",
            "```md\n![alt](url)\n[x](tg://y)\n```",
            r"\[not a link](tg://x)",
        ],
    )
    def test_the_rest_stays(self, markdown: str) -> None:
        assert sanitize(markdown) == markdown

    def test_a_picture_within_the_text_makes_no_parts(self) -> None:
        picture = f"Here: ![a dot](data:image/png;base64,{'A' * 9000}) Nice?"
        assert [discord_text(part.text) for part in discord_parts(picture)] == ["Here: a dot Nice?"]


class TestWhereItIsCut:
    def test_what_fits_stays_whole(self) -> None:
        assert texts("Hello.\n\nWorld.") == ["Hello.\n\nWorld."]
        assert discord_parts("x" * DISCORD_LIMIT) == [Part("x" * DISCORD_LIMIT)]
        assert telegram_parts("x" * TELEGRAM_LIMIT) == [Part("x" * TELEGRAM_LIMIT)]

    @pytest.mark.parametrize("nothing", ["", " ", "\n\n\t\n", "\u200b"])
    def test_nothing_gives_no_part(self, nothing: str) -> None:
        assert discord_parts(nothing) == telegram_parts(nothing) == []

    @pytest.mark.parametrize("nothing", ["```py", "```\n```", "# "])
    def test_what_shows_nothing_gives_no_message(self, nothing: str) -> None:
        assert telegram_parts(nothing) == []

    def test_between_paragraphs_first(self) -> None:
        first, second = "One. Two.\nThree. " * 12, "Four. " * 30
        assert texts(f"{first.strip()}\n\n{second.strip()}") == [first.strip(), second.strip()]

    def test_then_between_lines(self) -> None:
        assert texts("One. Two.\n" * 40) == ["\n".join(["One. Two."] * 30), "\n".join(["One. Two."] * 10)]

    def test_then_between_sentences(self) -> None:
        first, second, *_ = texts("One and two. " * 40)
        assert first.endswith("two.")
        assert second.startswith("One")

    def test_then_between_sentences_without_spaces(self) -> None:
        assert all(text.endswith("。") for text in texts("日本語の文です。" * 60))

    def test_then_between_words(self) -> None:
        assert set(" ".join(texts("one two " * 100)).split(" ")) == {"one", "two"}

    def test_then_between_characters(self) -> None:
        assert texts("x" * 700) == ["x" * 300, "x" * 300, "x" * 100]

    @pytest.mark.parametrize("character", ["👨‍👩‍👧", "👍🏽", "e\u0301", "🇩🇪", "❤\ufe0f"])
    def test_but_not_within_a_character(self, character: str) -> None:
        parts = texts(f"x{character * 200}")
        assert len(parts) > 1
        assert {part.removeprefix("x").replace(character, "") for part in parts} == {""}

    @pytest.mark.parametrize(
        "markup",
        [
            "**these bold words**",
            "*these italic words*",
            "`some code here`",
            "[a long link text](https://example.com/page)",
            "https://example.com/a/long/address",
            "||a small secret||",
            "~~not this one~~",
        ],
    )
    def test_not_through_markup(self, markup: str) -> None:
        for before in range(260, 300):
            parts = texts(f"{'word ' * 60}"[:before].rstrip() + f" {markup} and more words " + "word " * 20)
            assert sum(markup in part for part in parts) == 1, parts

    def test_a_heading_stays_with_its_text(self) -> None:
        assert texts("Intro. " * 39 + "\n\n## Next\n\n" + "Text. " * 30)[1].startswith("## Next\n\nText.")

    def test_a_stray_mark_does_not_make_small_parts(self) -> None:
        first, *_ = texts("Note *see below " + "word " * 200, limit=1000)
        assert len(first) > 900


class TestCode:
    def test_is_closed_and_opened_again(self) -> None:
        code = "\n".join(f"line({number})" for number in range(70))
        parts = texts(f"Look:\n```python title\n{code}\n```\nDone.")
        assert len(parts) > 2
        assert parts[0].startswith("Look:\n```python title\nline(0)\n")
        assert all(part.endswith("\n```") for part in parts[:-1])
        assert all(part.startswith("```python title\n") for part in parts[1:])
        assert parts[-1].endswith("line(69)\n```\nDone.")

    @pytest.mark.parametrize("fence", ["```", "~~~", "`````"])
    def test_keeps_its_own_fence(self, fence: str) -> None:
        lines = "\n".join(["```" if fence == "`````" else "code"] * 100)
        parts = texts(f"{fence}\n{lines}\n{fence}")
        assert all(part.startswith(f"{fence}\n") and part.endswith(f"\n{fence}") for part in parts)

    def test_in_a_list(self) -> None:
        code = "\n".join(f"    line({number})" for number in range(40))
        parts = texts(f"1. Do this:\n    ```sh\n{code}\n    ```\n2. Done")
        assert len(parts) > 1
        assert parts[0].endswith("\n```")
        assert parts[1].startswith("```sh\n    line(")
        assert formatted(parts[-1])[0][1].endswith("line(39)")
        assert telegram_text(parts[-1])[0].endswith("\n2. Done")

    def test_in_a_quote(self) -> None:
        code = "\n".join(f"> line({number})" for number in range(40))
        first, second = texts(f"> ```\n{code}\n> ```\nDone")[:2]
        assert first.endswith("\n> ```")
        assert second.startswith("> ```\n> line(")

    def test_unclosed_is_closed(self) -> None:
        assert texts("```js\nlet x") == ["```js\nlet x\n```"]

    def test_a_line_that_only_begins_like_code(self) -> None:
        parts = texts("```Not code, only an odd sentence. " * 2 + "word " * 80)
        assert all(not isinstance(block, Code) or block.closed for part in parts for block in blocks(part))

    def test_is_not_cut_when_it_can_go_in_one(self) -> None:
        code = "```\n" + "code\n" * 30 + "```"
        assert texts("word " * 40 + f"\n{code}")[1] == code

    def test_an_end_at_the_limit_leaves_no_empty_block(self) -> None:
        for lines in range(20, 80):
            parts = texts("```\n" + "code\n" * lines + "```\nDone")
            assert "```\n```" not in "|".join(parts)

    def test_blank_lines_and_indentation_stay(self) -> None:
        code = "def f():\n\n    return 1\n\n\n" * 30
        bodies = [
            block.body
            for text in texts(f"```py\n{code}```")
            for block in blocks(text)
            if isinstance(block, Code)
        ]
        assert "".join(bodies) == code


class TestFiles:
    CODE = "print('hello')\n" * 700

    def test_long_code_becomes_a_file_in_its_place(self) -> None:
        for parts in (discord_parts, telegram_parts):
            before, sent, after = parts(f"Here it is:\n```python\n{self.CODE}```\nEnjoy!")
            assert before == Part("Here it is:")
            assert sent.text == "`code.py`"
            assert sent.file is not None
            assert sent.file.name == "code.py"
            assert sent.file.content.decode() == self.CODE.removesuffix("\n")
            assert after == Part("Enjoy!")

    @pytest.mark.parametrize(
        ("info", "name"),
        [
            ("", "code.txt"),
            ("js", "code.js"),
            ("C++", "code.cpp"),
            ("python title=x", "code.py"),
            ("../../etc", "code.txt"),
        ],
    )
    def test_is_named_by_its_language(self, info: str, name: str) -> None:
        (part,) = split(f"```{info}\n{self.CODE}```", at_most(300))
        assert part.file is not None
        assert part.file.name == name

    def test_holds_the_code_alone(self) -> None:
        (part,) = split("- > ```\n  > a\n  >   b\n  > ```", at_most(300), file_above=3)
        assert part.file is not None
        assert part.file.content == b"a\n  b"
        (part,) = split("1. ```\n   a\n     b\n   ```", at_most(300), file_above=3)
        assert part.file is not None
        assert part.file.content == b"a\n  b"

    def test_shorter_code_is_shown(self) -> None:
        assert all(
            part.file is None for part in split(f"```\n{'x' * 100}\n```", at_most(300), file_above=101)
        )


TABLE = "| Name | Size |\n|:-----|-----:|\n| **a** | 1 |\n| b `c` | 22 |"
ALIGNED = "Name | Size\n-----+-----\na    |    1\nb c  |   22"


class TestTables:
    def test_discord_gets_aligned_code(self) -> None:
        assert discord_text(f"Look:\n\n{TABLE}\n\nDone") == f"Look:\n\n```\n{ALIGNED}\n```\n\nDone"

    def test_telegram_gets_aligned_code(self) -> None:
        assert formatted(f"Look:\n\n{TABLE}\n\nDone") == [("pre", ALIGNED)]

    def test_wide_characters_count_twice(self) -> None:
        assert discord_text("| a | b |\n|---|---|\n| 日本 | c |") == "```\na    | b\n-----+--\n日本 | c\n```"

    def test_not_in_code(self) -> None:
        assert discord_text(f"```\n{TABLE}\n```") == f"```\n{TABLE}\n```"

    def test_one_that_is_cut_repeats_its_head(self) -> None:
        head = "| Number | Square |\n|---|---|\n"
        parts = texts(head + "".join(f"| {n} | {n * n} |\n" for n in range(60)))
        assert len(parts) > 2
        assert all(part.startswith(head) for part in parts)
        rows = [line for part in parts for line in part.removeprefix(head).splitlines()]
        assert rows == [f"| {n} | {n * n} |" for n in range(60)]

    def test_padding_goes_when_it_makes_a_message_too_long(self) -> None:
        rows = "".join(f"| {'x' * 400} | y |\n| z | y |\n" for _ in range(4))
        (part,) = discord_parts(f"| a | b |\n|---|---|\n{rows}")
        assert "\nz | y\n" in discord_text(part.text)


class TestDiscord:
    def test_markdown_stays(self) -> None:
        markdown = "# One\n## Two\n### Three\n**bold** *it* ||secret|| `code`\n> quote\n- [x](https://x.example)\n$x^2$"
        assert discord_text(markdown) == markdown

    def test_deep_headings_become_bold(self) -> None:
        assert discord_text("#### One\n##### **Two** #") == "**One**\n**Two**"

    def test_fences_become_those_that_discord_knows(self) -> None:
        assert discord_text("~~~python title=x\ncode\n~~~") == "```python\ncode\n```"

    def test_fences_in_code_do_not_end_it(self) -> None:
        shown = discord_text("````md\n```\ncode\n```\n````")
        assert shown.count("```") == 2
        assert shown.replace("\u200b", "") == "```md\n```\ncode\n```\n```"

    def test_the_longest_text_is_not_made_longer(self) -> None:
        markdown = "````\n" + "```\n" * 497 + "````"
        assert len(markdown) <= DISCORD_LIMIT
        assert len(discord_text(markdown)) <= DISCORD_LIMIT


class TestTelegram:
    def test_markup_becomes_entities(self) -> None:
        assert formatted(
            "**bold** _it_ ~~gone~~ ||secret|| `code` [x](https://x.example)\n```py\nprint()\n```\n> quote"
        ) == [
            ("bold", "bold"),
            ("italic", "it"),
            ("strikethrough", "gone"),
            ("spoiler", "secret"),
            ("code", "code"),
            ("text_link", "x"),
            ("pre", "print()"),
            ("blockquote", "quote"),
        ]

    def test_offsets_count_emoji_twice(self) -> None:
        text, (entity,) = telegram_text("😀😀 **x**")
        assert (text, entity.offset, entity.length) == ("😀😀 x", 5, 1)

    def test_language_is_one_word(self) -> None:
        (entity,) = telegram_text("```python title=x\ncode\n```")[1]
        assert entity.language == "python"

    def test_headings_have_no_ornaments(self) -> None:
        assert telegram_text("# One\n\n### Two")[0] == "One\n\nTwo"

    def test_tasks(self) -> None:
        assert telegram_text("- [ ] open\n- [x] done")[0] == "☐ open\n✅ done"

    @pytest.mark.parametrize(
        "text",
        [
            "a vector<int> b",
            "<div>\nhello\n</div>",
            "<!-- note -->",
            "[1]: https://example.com",
            "[^1]: note",
            "it costs $5 or $6",
        ],
    )
    def test_nothing_is_swallowed(self, text: str) -> None:
        assert telegram_text(text)[0] == text

    def test_html_in_code_stays_too(self) -> None:
        assert formatted("`<b>` and\n```\n<http://x.example>\n```") == [
            ("code", "<b>"),
            ("pre", "<http://x.example>"),
        ]

    @pytest.mark.parametrize(
        "link", ["[x](tg://user?id=1)", "<tg://user?id=1>", "[x][y]\n\n[y]: tg://user?id=1"]
    )
    def test_no_link_but_to_web_and_mail(self, link: str) -> None:
        assert telegram_text(link)[1] == []

    def test_indented_code_keeps_its_indentation(self) -> None:
        assert formatted("```\n    x\n  y\n```") == [("pre", "    x\n  y")]

    def test_latex_is_written_out_but_not_in_code(self) -> None:
        assert formatted(r"\(\alpha + 1\)") == [("code", "α + 1")]
        assert formatted(r"`\(\alpha + 1\)`") == [("code", r"\(\alpha + 1\)")]
        assert formatted("```latex\n\\[ \\frac{a}{b} \\]\n```") == [("pre", r"\[ \frac{a}{b} \]")]

    @pytest.mark.parametrize(
        ("line", "entities"),
        [
            ("**a** `b` ~~c~~ ||d||", 4),
            ("*a* _b_ __c__ ***d***", 5),
            ("[a](https://x.example) <https://y.example>", 2),
            ("# a", 2),
            (r"$x$ \(\alpha + 1\)", 2),
            ("```\na\n```", 1),
            ("> a\n", 1),
        ],
    )
    def test_many_entities_are_divided(self, line: str, entities: int) -> None:
        parts = telegram_parts(f"{line}\n" * 80)
        counts = [len(telegram_text(part.text)[1]) for part in parts]
        assert max(counts) <= TELEGRAM_ENTITIES
        assert sum(counts) == 80 * entities

    def test_a_failing_parser_leaves_plain_text(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        class PanicError(BaseException):
            """As a panic in Rust comes through: no Exception."""

        def fail(markdown: str, **_: object) -> None:
            raise PanicError(markdown)

        monkeypatch.setattr("telegramify_markdown.convert", fail)
        with caplog.at_level(logging.WARNING):
            assert telegram_text("my *secret* text") == ("my secret text", [])
        assert "PanicError" in caplog.text
        assert "secret" not in caplog.text


class TestPlain:
    @pytest.mark.parametrize(
        ("markdown", "text"),
        [
            ("**bold *it* all** __x__ ~~y~~ ||z||", "bold it all x y z"),
            ("## Title", "Title"),
            ("`a * b * c`", "a * b * c"),
            ("[x](https://x.example)", "x (https://x.example)"),
            ("![x](https://x.example)", "x"),
            ("```py\na = b ** c ** d\n```", "a = b ** c ** d"),
            ("a_b_c 2 * 3 * 4", "a_b_c 2 * 3 * 4"),
            (r"\*as is\*", "*as is*"),
        ],
    )
    def test_has_no_marks(self, markdown: str, text: str) -> None:
        assert plain_text(markdown) == text


# What answers are made of, and what makes trouble.
FENCES = ["```", "```py", "~~~", "~~~~", "  ```", "> ```", "- ```js", "    ```"]
PIECES = [
    *(
        "a",
        "word ",
        "word, ",
        "Sentence. ",
        "日本。",
        "e\u0301",
        "👨‍👩‍👧",
        "🇩🇪",
        "😀",
        "x" * 60,
        "long" * 40,
        " ",
        "\xa0",
    ),
    *("**", "*", "_", "__", "||", "~~", "[", "](", ")", "!", "\\", "$", "<", ">", "<b>", "&lt;"),
    *(
        "[t](https://x.example/z)",
        "[t](tg://q)",
        "![a](data:xx",
        "![a](http://i.example)",
        "https://y.example/a",
    ),
    *("# H", "#### D", "- ", "  - ", "    ", "> ", "1. ", "---", "[^1]: note", "$x$", r"\(z\)"),
]
HIDDEN = ["\u202e", "\u200b", "\u200d", "\x00", "\ud800", "\r", "\u2028"]
TABLES = ["|a|b|", "|-|-|", "| c | d |", "|", "||"]

lines = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
prose_and_code = st.lists(lines | st.sampled_from(FENCES), min_size=10, max_size=60).map("\n".join)
anything = st.lists(
    st.sampled_from([*PIECES, *FENCES, *HIDDEN, *TABLES, "`", "``", "\n", "\n\n"]), max_size=200
).map("".join)
answers = (prose_and_code | anything | st.text(min_size=50, max_size=500)).map(lambda text: f"{text}\n" * 3)
long_answers = answers.map(lambda text: text * 8)
limits = st.integers(200, 500)

thorough = settings(max_examples=200, deadline=None)


def content(markdown: str) -> str:
    """What must not be lost: everything but fence lines, quote marks and white space."""
    kept = [line for line in markdown.split("\n") if "```" not in line and "~~~" not in line]
    return re.sub(r"[\s>]", "", "".join(kept))


class TestAlways:
    """Whatever the model writes."""

    @given(answers, limits)
    @thorough
    def test_every_part_fits(self, markdown: str, limit: int) -> None:
        assert all(len(part.text) <= limit for part in split(markdown, at_most(limit)))

    @given(prose_and_code, limits)
    @thorough
    def test_nothing_is_lost(self, markdown: str, limit: int) -> None:
        parts = split(clean(markdown), at_most(limit), file_above=100_000)
        assert content("\n".join(part.text for part in parts)) == content(clean(markdown))

    @given(answers, limits)
    @thorough
    def test_every_code_block_is_closed(self, markdown: str, limit: int) -> None:
        for part in split(markdown, at_most(limit)):
            *_, last = blocks(part.text)
            assert not isinstance(last, Code) or last.closed

    @given(answers, limits, st.data())
    @thorough
    def test_parts_before_the_last_stay(self, markdown: str, limit: int, data: st.DataObject) -> None:
        growth = sorted(data.draw(st.lists(st.integers(0, len(markdown)), max_size=20)))
        shown: list[Part] = []
        for length in (*growth, len(markdown)):
            parts = split(clean(markdown[:length]), at_most(limit), file_above=100_000)
            assert parts[: len(shown[:-1])] == shown[:-1]
            shown = parts

    @given(answers)
    @example("![a](" * 3)
    @thorough
    def test_cleaning_never_takes_back(self, markdown: str) -> None:
        whole = clean(markdown)
        assert all(whole.startswith(clean(markdown[:length])) for length in range(0, len(markdown), 7))

    @given(long_answers)
    @thorough
    def test_discord_takes_every_part(self, markdown: str) -> None:
        for part in discord_parts(markdown):
            for text in (discord_text(part.text), plain_text(part.text)):
                assert utf16_length(text) <= DISCORD_LIMIT
                text.encode()  # no lone surrogates
            assert discord_text(part.text).strip()

    @given(long_answers)
    @example("$x$" * 400)
    @example("# a\n" * 400)
    @thorough
    def test_telegram_takes_every_part(self, markdown: str) -> None:
        for part in telegram_parts(markdown):
            text, entities = telegram_text(part.text)
            assert text.strip()
            assert utf16_length(text) <= TELEGRAM_LIMIT
            assert utf16_length(plain_text(part.text)) <= TELEGRAM_LIMIT
            assert len(entities) <= TELEGRAM_ENTITIES
            units = text.encode("utf-16-le")
            for entity in entities:
                marked = units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")
                assert utf16_length(marked) == entity.length > 0
                assert marked.strip()
                assert entity.type in ("pre", "code") or marked == marked.strip()
                assert entity.url is None or entity.url.startswith(("http", "mailto"))


ANSWER = f"""# How to do it

It takes **three steps**, see [the manual](https://example.com/manual) and `--help` for more. {"Words. " * 60}

1. First, this:
   ```python
   {"".join(f"print({number})" + chr(10) + "   " for number in range(80))}
   ```
2. Then ![a picture](https://example.com/picture.png) and ||a surprise||.

#### Sizes

{TABLE}
{"".join(f"| row {number} | {number**5} |" + chr(10) for number in range(60))}
> {"A long quote. " * 30}

{"日本語の文です。" * 80}
"""


@pytest.mark.parametrize("parts", [discord_parts, telegram_parts])
def test_an_answer_that_is_being_written_stays_where_it_was_cut(parts: Callable[[str], list[Part]]) -> None:
    shown: list[Part] = []
    for length in range(0, len(ANSWER) * 2, 29):
        now = parts((ANSWER * 2)[:length])
        assert now[: len(shown[:-1])] == shown[:-1]
        shown = now
    assert len(shown) > 2


def test_a_long_answer_asks_little_of_fits() -> None:
    asked = 0

    def fits(text: str) -> bool:
        nonlocal asked
        asked += 1
        return len(text) <= DISCORD_LIMIT

    parts = split("A paragraph of some words.\n\n" * 7000, fits)
    assert len(parts) > 90
    assert asked <= 16 * len(parts)
