"""Lists of tags, as DKIM signatures and DKIM keys are written.

RFC 6376 §3.2 (the list), §2.8 (white space), §2.10 (base64). UTF-8 in values is let through: the
tags that must be ASCII say so themselves.
"""

import binascii
import re

MAX_TAGS = 64
"""More than any RFC knows, several times over."""

_MAX_SHOWN = 20
_WSP = " \t"
# tag-name = ALPHA *(ALPHA / DIGIT / "_")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
# VALCHAR without ";", and what is inside a value after unfolding; characters beyond ASCII are UTF-8
_VALUE = re.compile(r"[\t\x20-\x3a\x3c-\x7e\x80-\U0010ffff]*\Z")
_WHITE_SPACE = re.compile(r"[ \t]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")


class TagError(ValueError):
    """A list of tags breaks a rule, which the text names."""


def parse_tags(octets: bytes) -> dict[str, str]:
    """Give the tags in their order; folding and the white space around values are gone.

    Raises TagError.
    """
    try:
        text = octets.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t").decode("utf-8")
    except UnicodeDecodeError:
        raise TagError("it is not UTF-8") from None
    specs = text.split(";")
    if len(specs) > 1 and not specs[-1].strip(_WSP):
        del specs[-1]
    if len(specs) > MAX_TAGS:
        raise TagError(f"it has more than {MAX_TAGS} tags")
    tags: dict[str, str] = {}
    for spec in specs:
        name, value = _parse_tag(spec)
        if name in tags:
            raise TagError(f"the tag {name[:_MAX_SHOWN]}= stands there twice")
        tags[name] = value
    return tags


def drop_white_space(value: str) -> str:
    """Give a value whose syntax has white space anywhere (base64, h=, i=) without it."""
    return _WHITE_SPACE.sub("", value)


def parse_base64(value: str) -> bytes | None:
    """Decode a `base64string`; None for what is none. An empty one is none either."""
    text = drop_white_space(value)
    if not _BASE64.match(text):
        return None
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None


def split_list(value: str) -> tuple[str, ...]:
    """Split a list with colons; white space around an entry is not part of it."""
    return tuple(entry.strip(_WSP) for entry in value.split(":"))


def _parse_tag(spec: str) -> tuple[str, str]:
    name, equals, value = spec.partition("=")
    name = name.strip(_WSP)
    if not equals or not _NAME.match(name):
        raise TagError("it has something that is no tag")
    if not _VALUE.match(value):
        raise TagError(f"the value of {name[:_MAX_SHOWN]}= has a character that may not be there")
    return name, value.strip(_WSP)
