"""Text that reaches a page from outside shows as it is and has no effect, as judged by a Markdown parser."""

import pytest
from markdown_it import MarkdownIt

from pipeline.pages.rendering import code, text

HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    "a|b",
    "`code` ``more`` ```",
    "`",
    "**bold** _slanted_ ~~gone~~ snake_case_name",
    "[link](javascript:alert(1)) ![picture](x)",
    "&amp; &lt; $x$",
    "back\\slash\\| \\` end\\",
    "two\n\n# lines",
]
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def cell(markdown: str) -> list:
    """The parsed contents of the second of two cells in a table row."""
    tokens = PARSER.parse(f"| a | b |\n| --- | --- |\n| x | {markdown} |\n")
    cells = [token.children for token in tokens if token.type == "inline"]
    assert len(cells) == 4 and tokens[-1].type == "table_close"
    return cells[-1]


@pytest.mark.parametrize("words", HOSTILE)
def test_text_is_nothing_but_text(words):
    inline = PARSER.parse(f"- {text(words)}")[3].children
    for found in (inline, cell(text(words))):
        assert {token.type for token in found} == {"text"}
        assert "".join(token.content for token in found) == " ".join(words.split())


@pytest.mark.parametrize("words", HOSTILE)
def test_code_is_one_span_with_these_words(words):
    (span,) = cell(code(words))
    assert (span.type, span.content) == ("code_inline", " ".join(words.split()))


@pytest.mark.parametrize("value", [None, 0.3, [1, 2], ""])
def test_code_takes_any_value(value):
    (span,) = cell(code(value))
    assert span.type == "code_inline" and span.content.strip() == str(value)
