"""Where TOML keys stand: TOML 1.0.0 through tomllib as the judge of what the keys are."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.config.locate import KeyPath, Position, locate

CASES = [
    ("plain", "a = 1\n  b = 2\n", ("b",), (2, 3)),
    ("table", "[a]\nb = 1\n", ("a", "b"), (2, 1)),
    ("implied table", "[a.b]\nc = 1\n", ("a",), (1, 2)),
    ("last part of a header", "[a.b]\nc = 1\n", ("a", "b"), (1, 4)),
    ("dotted key", "a . b = 1\n", ("a", "b"), (1, 5)),
    ("quoted key", '"a b"."c.d" = 1\n', ("a b", "c.d"), (1, 7)),
    ("escaped key", '"\\u0061\\"" = 1\n', ('a"',), (1, 1)),
    ("literal key", "'a\\b' = 1\n", ("a\\b",), (1, 1)),
    ("array of tables", "[[a]]\nb = 1\n[[a]]\nb = 2\n", ("a", 1, "b"), (4, 1)),
    ("element of an array of tables", "[[a]]\n[[a]]\n", ("a", 1), (2, 1)),
    ("table in an array's last", "[[a]]\n[[a]]\n[a.b]\nc = 1\n", ("a", 1, "b", "c"), (4, 1)),
    ("arrays in arrays", "[[a]]\n[[a.b]]\n[[a]]\n[[a.b]]\nc = 1\n", ("a", 1, "b", 0, "c"), (5, 1)),
    ("array", "a = [1, [2,\n # x ]\n  3], 4]\n", ("a", 1, 1), (3, 3)),
    ("after nested arrays", "a = [1, [2,\n # x ]\n  3], 4]\n", ("a", 2), (3, 7)),
    ("inline table", "a = { b = 1, c.d = [ { e = 2 } ] }\n", ("a", "c", "d", 0, "e"), (1, 24)),
    ("brackets in text", "a = ['[', \"]\", '''}\n''']\nb = 1\n", ("b",), (3, 1)),
    ("multi-line text", 'a = """x\n[b]\nb = 1"""\nb = 2\n', ("b",), (4, 1)),
    ("quotes at the end of text", 'a = """x"""""\nb = 2\n', ("b",), (2, 1)),
    ("escaped quotes", 'a = """\\"""" \nb = 2\n', ("b",), (2, 1)),
    ("literal with quotes", "a = '''x'''''\nb = 2\n", ("b",), (2, 1)),
    ("empty texts", "a = \"\"\nb = ''\nc = 1\n", ("c",), (3, 1)),
    ("comment", "# [x]\na = 1 # b = 2\nc = 3\n", ("c",), (3, 1)),
    ("time with a blank", "a = [1979-05-27 07:32:00, 2]\nb = 1\n", ("a", 1), (1, 27)),
    ("CRLF", "a = 1\r\n\r\nb = 2\r\n", ("b",), (3, 1)),
    ("wide characters count one", 'a = ["é😀", 2]\n', ("a", 1), (1, 12)),
]


@pytest.mark.parametrize(
    ("text", "path", "place"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_key_is_found_where_it_stands(text: str, path: KeyPath, place: tuple[int, int]) -> None:
    assert _paths(tomllib.loads(text)) == set(locate(text))
    assert locate(text)[path] == Position(*place)


def _paths(value: Any, base: KeyPath = ()) -> set[KeyPath]:
    """Every key path of a document, elements of arrays too."""
    match value:
        case dict():
            items = list(value.items())
        case list():
            items = list(enumerate(value))
        case _:
            return set()
    found: set[KeyPath] = set()
    for key, item in items:
        found |= {(*base, key)} | _paths(item, (*base, key))
    return found


# Documents are written in every style that TOML has for the same thing.

_BARE = st.text("abcXYZ019_-", min_size=1, max_size=6)
_TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
_NAMES = _BARE | _TEXTS
_SCALARS = (
    st.integers(-1000, 1000)
    | st.booleans()
    | _TEXTS
    | st.sampled_from(["a\nb", '"', "'", "'''", '"""', "]}#", "= [", "\\"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)
_DOCUMENTS = st.dictionaries(_NAMES, _VALUES, max_size=5)


class _Writer:
    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.places: dict[KeyPath, tuple[int, int]] = {}

    def _pick(self, *options: str) -> str:
        return self._draw(st.sampled_from(options))

    def write(self, document: dict[str, Any]) -> str:
        return self._pick("", "# [x]\n", "\n\t\n") + self._table((), document)

    def _table(self, base: KeyPath, table: dict[str, Any]) -> str:
        """Pairs first, then the tables that get a header of their own."""
        pairs = ""
        rest = ""
        for name, value in table.items():
            path = (*base, name)
            style = self._pick("inline", "header")
            if isinstance(value, dict) and style == "header":
                rest += f"[{self._header(path)}]{self._end()}" + self._table(path, value)
            elif self._is_table_array(value) and style == "header":
                for item in value:
                    header = f"[[{self._header(path)}]]{self._end()}"
                    rest += header + self._table((*path, -1), item)
            else:
                pairs += f"{self._pick('', ' ', '	')}{self._key(name)} = {self._value(value)}"
                pairs += self._end()
        return pairs + rest

    def _is_table_array(self, value: Any) -> bool:
        return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)

    def _header(self, path: KeyPath) -> str:
        dot = self._pick(".", " . ")
        return dot.join(self._key(part) for part in path if isinstance(part, str))

    def _key(self, name: str) -> str:
        if name and name.isascii() and name.replace("_", "a").replace("-", "a").isalnum():
            return self._pick(name, f'"{name}"', f"'{name}'")
        return json.dumps(name, ensure_ascii=False)

    def _value(self, value: Any) -> str:
        match value:
            case dict():
                pairs = (f"{self._key(k)}={self._value(v)}" for k, v in value.items())
                return "{ " + ", ".join(pairs) + " }"
            case list():
                gap = self._pick("", " ", "\n  # ]\n")
                comma = self._pick("", ",") if value else ""
                return "[" + gap + f",{gap}".join(map(self._value, value)) + comma + gap + "]"
            case str():
                return self._text(value)
            case _:
                return json.dumps(value)

    def _text(self, value: str) -> str:
        escaped = json.dumps(value, ensure_ascii=False)
        styles = [escaped]
        if "'" not in value and "\n" not in value:
            styles.append(f"'{value}'")
        if "'''" not in value and not value.endswith("'"):
            styles.append(f"'''\n{value}'''")
        if '"' not in value:
            styles.append('""' + escaped + '""')
        return self._pick(*styles)

    def _end(self) -> str:
        return self._pick("\n", "  # a = [\n", "\n\n", "\r\n")


@st.composite
def _texts_of_documents(draw: st.DrawFn) -> str:
    return _Writer(draw).write(draw(_DOCUMENTS))


@given(_texts_of_documents())
def test_every_key_path_that_tomllib_reads_is_located_and_no_other(text: str) -> None:
    assert set(locate(text)) == _paths(tomllib.loads(text))


@given(_texts_of_documents())
def test_the_key_stands_at_its_place(text: str) -> None:
    lines = text.replace("\r\n", "\n").split("\n")
    for path, place in locate(text).items():
        if isinstance(path[-1], str):
            rest = lines[place.line - 1][place.column - 1 :]
            assert rest.startswith(
                (path[-1] or '""', json.dumps(path[-1], ensure_ascii=False), f"'{path[-1]}'")
            )
