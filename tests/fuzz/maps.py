"""What Postfix asks a lookup table, what it is answered, and what our processes say in between."""

import math
import re
from asyncio import Future, Transport
from urllib.parse import unquote_to_bytes

from letterlock.base.domains import parse_domain
from letterlock.network.map_server import Known, MapLimits, MapServer, _Connection
from letterlock.protocols.maps.messages import BadQuery, Event, Query, Reply, Status, Violation
from letterlock.protocols.maps.netstrings import NetstringReader, format_netstring
from letterlock.protocols.maps.socketmap import (
    MAX_QUERY_OCTETS,
    MAX_REPLY_OCTETS,
    SocketmapReader,
    format_socketmap_reply,
)
from letterlock.protocols.maps.tcp_table import (
    MAX_LINE_OCTETS,
    TcpTableReader,
    format_tcp_reply,
)
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, parse_policy
from letterlock.protocols.policy.postfix_policy import (
    PostfixPolicy,
    StsAttributes,
    format_policy,
)
from letterlock.protocols.policy.postfix_table import parse_postfix_table
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import Level
from letterlock.services.answer.answers import Answer
from letterlock.services.answer.questions import (
    MAX_PACKET_OCTETS,
    format_answer,
    format_question,
    parse_answer,
    parse_question,
)
from tests.fakes import FakeClock
from tests.fuzz.target import Target, split_ways, take_choices

_MAX_CONTENT = 40
_POSTFIX = AskingPostfix((3, 11, 0))
_NETSTRING_WORDS = (b":", b",", b"0:,", b"00:", b"1:x,", b"-", b"+", b"40:", b"41:", b"9" * 9, b" ")
_TCP_WORDS = (b"get ", b"put ", b"\n", b"\r\n", b"%", b"%0A", b"%25", b"%zz", b" ", b"x" * 4100)


def check_netstrings(octets: bytes) -> None:
    """What is read is what came, octet for octet, and no longer than it may be, however it came."""
    (choice,), wire = take_choices(octets, 1)
    found = NetstringReader(_MAX_CONTENT).receive(wire)
    contents = [each for each in found if isinstance(each, bytes)]
    written = b"".join(map(format_netstring, contents))
    assert wire.startswith(written)
    assert max(map(len, contents), default=0) <= _MAX_CONTENT
    is_begun = _begins_netstring(wire[len(written) :])
    assert found[len(contents) :] == [] if is_begun else isinstance(found[-1], Violation)
    assert len(found) - len(contents) == (not is_begun)
    for pieces in split_ways(wire, choice):
        reader = NetstringReader(_MAX_CONTENT)
        assert [each for piece in pieces for each in reader.receive(piece)] == found
        assert is_begun or reader.receive(b"1:x,") == []


def _begins_netstring(rest: bytes) -> bool:
    """Say whether octets, in which there is no whole netstring, can be the beginning of one."""
    head, colon, content = rest.partition(b":")
    if not colon:
        return re.fullmatch(rb"0|[1-9][0-9]?|", head) is not None
    if not re.fullmatch(rb"0|[1-9][0-9]?", head) or int(head) > _MAX_CONTENT:
        return False
    return len(content) <= int(head)


def check_socketmap(octets: bytes) -> None:
    """A query's key is what is behind the map's name; an answer fits in what Postfix takes."""
    (choice,), wire = take_choices(octets, 1)
    contents = NetstringReader(MAX_QUERY_OCTETS).receive(wire)
    events = SocketmapReader().receive(wire)
    for event, content in zip(events, contents, strict=True):
        if isinstance(content, Violation):
            assert event == content
        elif b" " in content:
            assert event == Query(content[content.index(b" ") + 1 :])
        else:
            assert isinstance(event, BadQuery)
    for pieces in split_ways(wire, choice):
        reader = SocketmapReader()
        assert [each for piece in pieces for each in reader.receive(piece)] == events
    assert SocketmapReader().receive(format_netstring(b"map " + wire)) == [Query(wire)]
    reply = _make_reply(choice, wire)
    (content,) = NetstringReader(MAX_REPLY_OCTETS).receive(format_socketmap_reply(reply))
    assert content == f"{reply.status} {reply.text}".encode()


def check_tcp_table(octets: bytes) -> None:
    """A line is a query, refused, or too long; another reader finds the same key and answer."""
    (choice,), wire = take_choices(octets, 1)
    events = TcpTableReader().receive(wire)
    lines = wire.split(b"\n")
    for event, line in zip(events, lines, strict=False):
        if isinstance(event, BadQuery | Violation):
            assert event.reason.isprintable()
        else:
            assert line.startswith(b"get ")
            assert event == Query(unquote_to_bytes(line[4:].removesuffix(b"\r")))
    is_too_long = any(isinstance(event, Violation) for event in events)
    assert is_too_long == any(len(line) >= MAX_LINE_OCTETS for line in lines)
    assert is_too_long or len(events) == len(lines) - 1
    for pieces in split_ways(wire, choice):
        reader = TcpTableReader()
        assert [each for piece in pieces for each in reader.receive(piece)] == events
    reply = _make_reply(choice, wire)
    answer = format_tcp_reply(reply)
    assert len(answer) <= MAX_LINE_OCTETS
    assert re.fullmatch(rb"[245]00 [!-~]*\n", answer)
    if len(reply.text) < MAX_LINE_OCTETS // 20:
        told = unquote_to_bytes(answer[4:-1]).decode()
        assert told == reply.text or (not reply.text and told == reply.status)


def _make_reply(choice: int, text: bytes) -> Reply:
    return Reply(list(Status)[choice % len(Status)], text.decode("utf-8", "replace"))


class _Taken(Transport):
    """A connection that takes everything, and is closed when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_open = True

    def write(self, octets: bytes) -> None:  # type: ignore[override] # bytes are all we write
        assert self.is_open
        self.written += octets

    def close(self) -> None:
        self.is_open = False

    def is_closing(self) -> bool:
        return not self.is_open

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Echo:
    """Knows every answer: the key."""

    def find(self, key: bytes) -> Known:
        return Known(Reply(Status.OK, key.decode("latin-1")), math.inf)

    def wait(self, key: bytes) -> "Future[Reply]":
        raise AssertionError(key)

    def sweep(self) -> None:
        pass


def check_map_connection(octets: bytes) -> None:
    """Each query is answered once and in its order, in the protocol that it came by.

    The server is one for all ways to split it: what it remembers of one changes no other.
    """
    (choice,), wire = take_choices(octets, 1)
    is_socketmap = wire[:1].isdigit()
    reader = SocketmapReader() if is_socketmap else TcpTableReader()
    write = format_socketmap_reply if is_socketmap else format_tcp_reply
    events = reader.receive(wire)
    expected = b"".join(write(_expect(event)) for event in events if event != _end(events))
    server = MapServer(_Echo(), MapLimits(), FakeClock())
    for pieces in (*split_ways(wire, choice), *split_ways(wire, choice)):
        connection = _Connection(server)
        transport = _Taken()
        connection.connection_made(transport)
        for piece in pieces:
            if piece and transport.is_open:
                connection.data_received(piece)
        assert transport.written == expected
        assert transport.is_open == (_end(events) is None)


def _end(events: list[Event]) -> Violation | None:
    return next((event for event in events if isinstance(event, Violation)), None)


def _expect(event: Event) -> Reply:
    if isinstance(event, BadQuery):
        return Reply(Status.PERM, event.reason)
    assert not isinstance(event, Violation)
    return _Echo().find(event).reply


def check_questions(octets: bytes) -> None:
    """What one process says to another is what it reads, or dropped; too long, it is a failure."""
    if (question := parse_question(octets)) is not None:
        assert parse_question(format_question(question)) == question
    if (found := parse_answer(octets)) is not None:
        name, reply, seconds = found
        packet = format_answer(name, Answer(reply, "", seconds))
        assert len(packet) <= MAX_PACKET_OCTETS
        assert parse_answer(packet) == found
    if question is not None:
        key = question.key
        answer = Answer(Reply(Status.OK, key), "", 1.5)
        assert parse_answer(format_answer(key, answer)) == (key, answer.reply, 1.5)
        told = parse_answer(format_answer(key, Answer(Reply(Status.OK, "x" * 100_000), "", 2)))
        assert told is not None
        assert (told[0], told[1].status, told[2]) == (key, Status.PERM, 2)


def check_postfix_answer(octets: bytes) -> None:
    """Whatever is in an MTA-STS policy, the answer is one line, and says just its patterns."""
    policy = parse_policy(octets)
    if not isinstance(policy, MtaStsPolicy):
        return
    text = octets.decode("utf-8", "replace")
    domain = parse_domain("d.example")
    demand = PostfixPolicy(
        Level.SECURE,
        "",
        match=("mx.d.example",),
        servername="hostname",
        sts=StsAttributes(domain, policy.mx, text),
    )
    answer = format_policy(demand, _POSTFIX)
    assert answer.isprintable()
    groups = re.findall(r"\{ policy_string = ([^{}]*) \}", answer)
    rest = re.sub(r"\{ policy_string = [^{}]* \}", "", answer).split()
    patterns = [word for word in rest if word.startswith("mx_host_pattern=")]
    assert patterns == [f"mx_host_pattern={pattern}" for pattern in policy.mx]
    assert set(rest) - set(patterns) == {
        *("secure", "match=mx.d.example", "servername=hostname", "policy_type=sts"),
        "policy_domain=d.example",
    }
    assert groups == [] or groups == [line.strip() for line in text.splitlines()]
    table = parse_postfix_table(f"d.example {answer}\n".encode(), "answer")
    assert [entry.key for entry in table.entries] == ["d.example"]


TARGETS = (
    Target(
        "netstrings",
        check_netstrings,
        (b"\x805:hello,0:,1:x,", b"\x2040:" + b"a" * 40 + b",41:", b"\x01:" + b"1"),
        _NETSTRING_WORDS,
        256,
    ),
    Target(
        "socketmap",
        check_socketmap,
        (b"\x8018:letterlock a.b.com,5:hello,3:m x,", b"\x403:m \xff,00:,"),
        _NETSTRING_WORDS,
        512,
        runs=500,
    ),
    Target(
        "tcp-table",
        check_tcp_table,
        (b"\x80get example.com\nget %5Bmx.a%5D%3a25\r\nput a b\n", b"\x01get a%\nget  \n"),
        _TCP_WORDS,
        5000,
        runs=300,
    ),
    Target(
        "map-connection",
        check_map_connection,
        (b"\x8018:letterlock a.b.com,5:hello,3:m x,00:,", b"\x01get a%\nget a\nput a b\nget b\n"),
        (*_NETSTRING_WORDS, *_TCP_WORDS),
        512,
        runs=300,
    ),
    Target(
        "policy-questions",
        check_questions,
        (b'["example.com","OK","secure match=mx.example.com",300.5]', '["é",true]'.encode()),
        (
            *(
                b"[",
                b"]",
                b'"',
                b",",
                b"null",
                b"true",
                b"false",
                b"NaN",
                b"1e999",
                b"9" * 400,
                b"[" * 3000,
            ),
            *(b"TEMP", b"TIMEOUT", b"PERM", b"NOTFOUND", b"\\ud800", b"\\u0000", b"Infinity", b"-"),
        ),
        4096,
    ),
    Target(
        "postfix-answer",
        check_postfix_answer,
        (
            b"version: STSv1\r\nmode: enforce\r\nmx: mx.a.b\r\nmx: *.c.d\r\nmax_age: 604800\r\n",
            b"max_age:1 \nmode: enforce\nversion:\tSTSv1\nmx: a.b\nother: { x } policy_string=y\n",
        ),
        (
            b"{",
            b"}",
            b"}",
            b"=",
            b"\n",
            b"\r\n",
            b"\t",
            b"\v",
            b"\xe2\x80\xa8",
            b"\0",
            b"mx: ",
            b"#",
        ),
        1024,
    ),
)
