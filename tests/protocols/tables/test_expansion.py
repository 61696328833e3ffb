"""What a recipient comes to: virtual(5), aliases(5), local(8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.tables import expansion
from letterlock.protocols.tables.aliases import parse_aliases, parse_include
from letterlock.protocols.tables.expansion import (
    AddressTables,
    Expanded,
    IncludedFile,
    Loop,
    TooMany,
    Unusable,
    expand,
)
from letterlock.protocols.tables.virtual import parse_virtual

LOCAL = ("x.test", "y.test")


def tables(virtual: str = "", aliases: str = "", **includes: str) -> AddressTables:
    return AddressTables(
        origin="x.test",
        is_local=lambda domain: domain in LOCAL,
        virtual=parse_virtual(virtual.encode(), "v"),
        aliases=parse_aliases(aliases.encode(), "al"),
        includes={
            f"/{name}": IncludedFile(parse_include(text.encode(), name)[0])
            for name, text in includes.items()
        },
        delimiter="+",
    )


def found(recipient: str, given_tables: AddressTables) -> list[str]:
    result = expand(parse_mailbox(recipient), given_tables)
    assert isinstance(result, Expanded), result
    return list(map(str, result.destinations))


@pytest.mark.parametrize("recipient", ["a@x.test", "a+t@x.test", "A@far.test"])
def test_an_address_in_no_table_stays_as_it_is(recipient: str) -> None:
    assert expand(parse_mailbox(recipient), tables()) == Expanded((parse_mailbox(recipient),))


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("a@x.test", ["b@x.test", "c@far.test"]),
        ("a+t@x.test", ["b+t@x.test", "c+t@far.test"]),
        ("a+exact@x.test", ["d@x.test"]),
        ("name@x.test", ["n@far.test"]),
        ("name+t@y.test", ["n+t@far.test"]),
        ("name@far.test", ["name@far.test"]),
        ("any+t@whole.test", ["any+t@x.test"]),
        ("deep@x.test", ["b@x.test", "c@far.test"]),
        ("self@x.test", ["self@x.test", "b@x.test"]),
        ("self+t@x.test", ["self+t@x.test", "b+t@x.test"]),
        ("any@caught.test", ["all@caught.test"]),
        ("all@caught.test", ["all@caught.test"]),
        ("twin@x.test", ["B@x.test", "c@far.test"]),
        ("friend@x.test", ["mutual@x.test"]),
    ],
)
def test_virtual_aliases(recipient: str, expected: list[str]) -> None:
    """virtual(5): order of keys, extensions, `@domain`, an address that expands into itself."""
    virtual = (
        "a@x.test b, c@far.test\na+exact@x.test d\nname n@far.test\n@whole.test @x.test\n"
        "deep@x.test a@x.test\nself@x.test self@x.test, b\n@caught.test all@caught.test\n"
        "twin@x.test B@x.test a@x.test b@x.test\n"
        "mutual@x.test mutual@x.test, friend@x.test\nfriend@x.test mutual@x.test\n"
    )
    assert found(recipient, tables(virtual)) == expected


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("root@x.test", ["alice@x.test"]),
        ("Root@y.test", ["alice@x.test"]),
        ("root@far.test", ["root@far.test"]),
        ("root+t@x.test", ["alice@x.test"]),
        ("root+exact@x.test", ["exact@far.test"]),
        ("postmaster@y.test", ["alice@x.test"]),
        ("own@x.test", ["own@x.test", "far@far.test"]),
        ("other@x.test", ["own@x.test", "far@far.test"]),
        ("mutual@x.test", ["mutual@x.test"]),
        ("list@x.test", ["alice@x.test", "m@far.test", "n@x.test"]),
        ("outer@x.test", ["alice@x.test", "m@far.test", "n@x.test", "z@x.test"]),
        ("none@x.test", []),
    ],
)
def test_aliases(recipient: str, expected: list[str]) -> None:
    """aliases(5), local(8): of any domain of ours; an extension not matched is not passed on."""
    aliases = (
        "root: alice\nroot+exact: exact@far.test\npostmaster: root\n"
        "own: own, far@far.test\nother: own\nmutual: mutual, friend\nfriend: mutual\n"
        "list: :include:/members\nouter: :include:/both\nnone: :include:/empty\n"
    )
    includes = {
        "members": "# who\nroot\nM <m@far.test>, n\nlist\n",
        "both": "list z\n:include:/members\n",
        "empty": "\n",
    }
    if recipient == "outer@x.test" or "list" in recipient:
        includes["members"] = includes["members"].replace("list\n", "")
    assert found(recipient, tables("", aliases, **includes)) == expected


def test_what_aliases_give_is_of_ours_or_goes_to_the_virtual_ones_again() -> None:
    """As in Postfix: local(8) looks up its own names itself, all others are sent anew."""
    both = tables("b@x.test nobody@x.test\nc@far.test d@far.test\n", "a: b, c@far.test\n")
    assert found("a@x.test", both) == ["b@x.test", "d@far.test"]
    assert found("b@x.test", both) == ["nobody@x.test"]


def test_each_step_is_told() -> None:
    result = expand(parse_mailbox("a+t@x.test"), tables("a@x.test b@y.test\n", "\nb: c\n"))
    assert isinstance(result, Expanded)
    assert [(s.address, s.key, s.where, s.text) for s in result.steps] == [
        ("a+t@x.test", "a@x.test", "v:1", "b@y.test"),
        ("b+t@y.test", "b", "al:2", "c"),
    ]


@pytest.mark.parametrize(
    ("virtual", "aliases", "circle"),
    [
        ("a@x.test b@x.test\nb@x.test a@x.test\n", "", "a@x.test -> b@x.test -> a@x.test"),
        ("", "a: b\nb: c\nc: b\n", "b@x.test -> c@x.test -> b@x.test"),
        ("", "a: :include:/l\n", "a@x.test -> :include:/l -> b@x.test -> a@x.test"),
        ("c@far.test a@x.test\n", "a: c@far.test\n", "a@x.test -> c@far.test -> a@x.test"),
    ],
)
def test_a_circle_is_named(virtual: str, aliases: str, circle: str) -> None:
    more = "b: a\n" if ":include:" in aliases else ""
    result = expand(parse_mailbox("a@x.test"), tables(virtual, aliases + more, l="b\n"))
    assert isinstance(result, Loop)
    assert result.reason == f"aliases go in a circle: {circle}"
    assert result.steps


def test_a_circle_that_grows_is_ended_by_the_length_of_an_address() -> None:
    """An extension that is added again and again makes no address twice."""
    growing = tables("a+t@x.test a+t+t@x.test\n@x.test a@x.test\n")
    assert found("a+t+t@x.test", growing) == ["a@x.test"]
    more = tables("a@x.test a+t@x.test\n")
    result = expand(parse_mailbox("a@x.test"), more)
    assert isinstance(result, Unusable | TooMany)


def test_aliases_are_nested_so_deep_and_no_deeper() -> None:
    chain = "".join(f"a{n}: a{n + 1}\n" for n in range(expansion.MAX_DEPTH + 1))
    assert found("a3@x.test", tables("", chain)) == [f"a{expansion.MAX_DEPTH + 1}@x.test"]
    result = expand(parse_mailbox("a0@x.test"), tables("", chain))
    assert isinstance(result, TooMany)
    assert result.reason == "aliases are nested 100 deep"


def test_an_alias_has_so_many_members_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "MAX_DESTINATIONS", 3)
    assert len(found("a@x.test", tables("", "a: b c d\n"))) == 3
    result = expand(parse_mailbox("a@x.test"), tables("", "a: b c d e\n"))
    assert isinstance(result, TooMany)
    assert result.reason == "an alias has more than 3 members"


def test_lookups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "MAX_LOOKUPS", 5)
    result = expand(parse_mailbox("a@x.test"), tables("", "a: b c d e f\n"))
    assert isinstance(result, TooMany)
    assert result.reason == "an alias needs more than 5 lookups"


def test_aliases_that_fork_and_meet_are_walked_once() -> None:
    """2^50 ways lead through these."""
    forks = "".join(f"a{n}: b{n} c{n}\nb{n}: a{n + 1}\nc{n}: a{n + 1}\n" for n in range(49))
    assert found("a0@x.test", tables("", forks)) == ["a49@x.test"]


@pytest.mark.parametrize(
    ("given_tables", "reason"),
    [
        (tables("a@x.test |cmd\n"), "v:1: a@x.test: a command (|cmd) is not run"),
        (tables("", "a: b, c\nb: /file\n"), "al:2: b: a file (/file) is not written to"),
        (tables("", "a: :include:/gone\n"), "/gone: was not read"),
        (tables(f"a@x.test {'x' * 250}\n"), "xxx"),
    ],
)
def test_an_entry_that_cannot_be_used_is_no_answer(
    given_tables: AddressTables, reason: str
) -> None:
    result = expand(parse_mailbox("a@x.test"), given_tables)
    assert isinstance(result, Unusable)
    assert result.reason.startswith(reason)


NAMES = st.sampled_from(["a", "b", "c", "a+t", "b@x.test", "c@far.test", "a@far.test", "@far.test"])
ADDRESSES = st.sampled_from(["a", "b", "c", "b+t", "a@far.test", "c@far.test", "b@x.test"])


def test_a_mailbox_whose_alias_leads_back_to_it_is_a_circle() -> None:
    """Its entry names itself, which is the way out elsewhere; mail must not just go away."""
    made = tables("a a\na@far.test a\n", "a: a@far.test\n")
    result = expand(parse_mailbox("a@x.test"), made)
    assert isinstance(result, Loop)
    assert result.addresses == ("a@x.test", "a@far.test", "a@x.test")


@given(
    virtual=st.dictionaries(NAMES, st.lists(ADDRESSES, min_size=1, max_size=3), max_size=6),
    aliases=st.dictionaries(
        st.sampled_from("abc"), st.lists(ADDRESSES, min_size=1, max_size=3), max_size=3
    ),
    recipient=st.sampled_from(["a@x.test", "b+t@x.test", "c@far.test"]),
)
def test_any_tables_come_to_an_end(
    virtual: dict[str, list[str]], aliases: dict[str, list[str]], recipient: str
) -> None:
    """Each destination once; a circle ends where it began, and names no other address twice."""
    made = tables(
        "".join(f"{key} {', '.join(value)}\n" for key, value in virtual.items()),
        "".join(f"{key}: {', '.join(value)}\n" for key, value in aliases.items()),
    )
    result = expand(parse_mailbox(recipient), made)
    if isinstance(result, Expanded):
        texts = [str(each).lower() for each in result.destinations]
        assert texts
        assert len(set(texts)) == len(texts)
    elif isinstance(result, Loop):
        assert result.addresses[0] == result.addresses[-1]
        assert len(set(result.addresses)) == len(result.addresses) - 1
    else:
        assert "+t" in str(virtual.values())
