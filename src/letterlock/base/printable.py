"""Text from outside that we show: nothing in it can end a line, or reach a terminal.

What it means is not looked at: a name may still pass for another, and what could pass for a field
of a log line is `log`'s to take out.
"""

MAX_LINE_CHARACTERS = 200
"""Enough to say what is wrong; a library's error can have a whole certificate in it."""


def make_printable(text: str) -> str:
    """Replace what could break a line or a terminal by `?`: control characters, surrogates."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def make_line(text: str, most: int = MAX_LINE_CHARACTERS) -> str:
    """Make one printable line of at most `most` characters; white space of any kind is a blank.

    Empty where there is nothing but that. What it costs is bounded, however long the text is.
    """
    return make_printable(" ".join(text[: 2 * most].split()))[:most]


def describe_error(error: Exception) -> str:
    """Give an error's text as one line, or its class where it has none."""
    return make_line(str(error)) or type(error).__name__
