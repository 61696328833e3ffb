"""A file made for Postfix means the same here: postmap(1), postconf(5) smtp_tls_policy_maps."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from letterlock.protocols.policy.postfix_table import parse_postfix_table
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry, WrongEntry
from letterlock.protocols.policy.tls_parameters import STRICT_CIPHERS
from tests.peers import environment, program

FILE = "/etc/postfix/tls_policy"
SHA = "0123456789abcdef" * 4

# From Postfix's TLS_README and postconf(5), and what people make of them.
REAL_FILE = b"""\
# TLS policy
#   second comment

example.edu                     none
example.mil                     may
example.gov                     encrypt protocols=TLSv1.2
example.com                     verify
                                match=hostname:dot-nexthop protocols=>=TLSv1.2 ciphers=high
# a comment does not end the line before it
  \t
                                exclude=3DES:MD5
example.net                     secure
.example.net                    secure match=.example.net:example.net
[mail.example.org]:587          secure match=nexthop
Example.INFO\tmay protocols=>=TLSv1,ciphers=medium,exclude=3DES
fp.example  fingerprint
    match=3d:95:34:51:24:66:33:b9:d2:40:99:c0:c1:17:0b:d1:3d:95:34:51:24:66:33:b9:d2:40:99:c0:c1:17:0b:d1
    match=%s|%s
ta.example  secure tafile=/etc/ta1.pem tafile=/etc/ta2.pem servername=hostname connection_reuse=yes
sts.example secure match=mx.sts.example servername=hostname policy_type=sts
    policy_domain=sts.example { policy_string = mode: enforce } {policy_ttl=86400}
dane.example dane-only
rpk.example may enable_rpk=yes
""" % (SHA.encode(), SHA.upper().encode())


def one(line: str) -> TableEntry | WrongEntry:
    (entry,) = parse_postfix_table(line.encode(), FILE).entries
    return entry


def test_a_real_file_is_read_as_it_is() -> None:
    found = parse_postfix_table(REAL_FILE, FILE)
    assert found.warnings == ()
    wrong = [entry for entry in found.entries if isinstance(entry, WrongEntry)]
    assert wrong == []
    entries = {entry.key: entry for entry in found.entries if isinstance(entry, TableEntry)}
    assert {key: entry.level.value for key, entry in entries.items()} == {
        "example.edu": "none",
        "example.mil": "may",
        "example.gov": "encrypt",
        "example.com": "verify",
        "example.net": "secure",
        ".example.net": "secure",
        "[mail.example.org]:587": "secure",
        "example.info": "may",
        "fp.example": "fingerprint",
        "ta.example": "secure",
        "sts.example": "secure",
        "dane.example": "dane-only",
        "rpk.example": "may",
    }
    assert entries["example.gov"].max_version == "TLSv1.2"
    com = entries["example.com"]
    assert com.match == ("hostname", "dot-nexthop")
    assert com.ciphers == f"{STRICT_CIPHERS}:!aNULL:!eNULL:!3DES:!MD5"
    assert com.where == f"{FILE}:7:example.com"
    assert entries["example.info"].min_version == "TLSv1"
    assert entries[".example.net"].match == (".example.net", "example.net")
    assert entries["ta.example"].trust_files == ("/etc/ta1.pem", "/etc/ta2.pem")
    assert entries["ta.example"].servername == "hostname"
    assert len(entries["fp.example"].fingerprints) == 3
    assert entries["fp.example"].fingerprints[1] == f"sha256:{SHA}"
    assert entries["sts.example"].match == ("mx.sts.example",)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("example.com", "no level after the key"),
        ("example.com ,", "no level after the key"),
        ("example.com verfiy", "'verfiy' is not a level"),
        ("example.com halfdane", "'halfdane' is not a level"),
        ("example.com: verify", "ends in a colon"),
        ("example.com verify mach=x", "no attribute 'mach'"),
        ("example.com verify match", "'match' is not name=value"),
        ("example.com verify =x", "'=x' is not name=value"),
        ("example.com verify match=", "match is empty"),
        ("example.com verify match=hostname:", "match is empty"),
        ("example.com verify match = hostname", "'match' is not name=value"),
        ("example.com may match=x", "match has no meaning at level may"),
        ("example.com encrypt tafile=/x", "tafile has no meaning at level encrypt"),
        ("example.com verify ciphers=high ciphers=high", "ciphers stands more than once"),
        ("example.com verify servername=a.b servername=a.b", "servername stands more than once"),
        ("example.com verify protocols=!TLSv1 protocols=!TLSv1.1", "protocols stands more than"),
        ("example.com verify ciphers=", "ciphers is empty"),
        ("example.com verify ciphers=null", "null does not encrypt"),
        ("example.com verify fingerprints=ab", "no attribute 'fingerprints'"),
        ("example.com verify level=may", "no attribute 'level'"),
        ("example.com verify connection_reuse=maybe", "connection_reuse is yes or no"),
        ("example.com verify policy_domain=a.b", "policy_domain without policy_type"),
        ("example.com verify policy_type=sts policy_failure=validation-failure", "policy_failure"),
        ("example.com verify policy_type=sts mx_host_pattern=*.x", "mx_host_pattern is for"),
        ("example.com verify { match = x", "a { is not closed"),
        ("example.com fingerprint match=3D:95:34", "not a SHA-256 fingerprint"),
        ("exa mple.com verify", "'mple.com' is not a level"),
        ("[example.com verify", "is not a domain"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(line: str, reason: str) -> None:
    entry = one("\n# comment\n" + line)
    assert isinstance(entry, WrongEntry)
    assert reason in entry.reason
    assert entry.where.startswith(f"{FILE}:3:")


def test_a_wrong_entry_spoils_no_other() -> None:
    text = b"a.example secure\nb.example verfiy\nc.example verify\n"
    found = parse_postfix_table(text, FILE).entries
    assert [type(entry) for entry in found] == [TableEntry, WrongEntry, TableEntry]
    assert found[1].key == "b.example"


def test_of_two_lines_with_one_key_the_first_counts() -> None:
    """postmap(1): it complains of the second and keeps the first."""
    found = parse_postfix_table(b"example.com secure\nEXAMPLE.com may\n", FILE)
    (entry,) = found.entries
    assert isinstance(entry, TableEntry)
    assert entry.level is Level.SECURE
    assert found.warnings == (
        f"{FILE}:2:EXAMPLE.com: the key stands at {FILE}:1:example.com already; ignored",
    )


def test_a_first_line_with_white_space_continues_nothing() -> None:
    found = parse_postfix_table(b"  match=x\nexample.com may\n", FILE)
    assert [entry.key for entry in found.entries] == ["example.com"]
    assert found.warnings == (f"{FILE}:1: a line that begins with white space continues none",)


def test_attributes_of_level_none_are_ignored() -> None:
    entry = one("example.com none match=x nonsense")
    assert isinstance(entry, TableEntry)
    assert entry.level is Level.NONE


def test_a_key_with_a_colon_stops_mail_for_the_key_that_was_meant() -> None:
    entry = one("example.com: secure")
    assert isinstance(entry, WrongEntry)
    assert entry.key == "example.com"


# What postmap(1) makes of the same file.
FILES = [
    "example.com secure\nEXAMPLE.com may\n",
    "example.com\n  secure\n",
    "example.com secure\n  \t# inner\n match=x\n#\nexample.net may\n",
    "  lead\nexample.com secure\n",
    "example.com\tsecure  \nexample.net   may",
    "# example.com may\n\n \nexample.com verify\n",
    "[Mx.example.com]:587 encrypt\n  protocols=TLSv1.2\n# c\n\n  ciphers=high\n",
    "example.com verify match=a.example,ciphers=high\r\nexample.net may\r\n",
]
KEYS = ["example.com", "example.net", "[mx.example.com]:587"]


@pytest.mark.peer("postfix")
@pytest.mark.parametrize("text", FILES)
def test_postmap_reads_the_same_keys_and_levels(text: str, tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = mx.example.com\n")
    (tmp_path / "table").write_text(text, newline="")
    # Postfix waits until its files have not changed for some seconds.
    for file in ("main.cf", "table"):
        os.utime(tmp_path / file, (0, 0))
    table = f"texthash:{tmp_path / 'table'}"
    answer = subprocess.run(
        [program("postmap", "postfix"), "-c", tmp_path, "-q", "-", table],
        input="\n".join(KEYS) + "\n",
        env=environment("postfix"),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = {words[0]: words[1] for words in map(str.split, answer.stdout.splitlines())}
    ours = parse_postfix_table(text.encode(), FILE).entries
    assert {
        entry.key: entry.level.value for entry in ours if isinstance(entry, TableEntry)
    } == theirs


def test_crlf_and_a_missing_last_line_end_are_taken() -> None:
    entry = one("example.com verify\r\n match=nexthop")
    assert isinstance(entry, TableEntry)
    assert entry.match == ("nexthop",)


def test_octets_that_are_no_text_are_wrong_for_their_key_only() -> None:
    found = parse_postfix_table(b"\xff\xfe.example may\nb.example may\n", FILE).entries
    assert [type(entry) for entry in found] == [WrongEntry, TableEntry]


@example(b"\x1c")  # white space for Python, and not for Postfix
@example(b"\x1cexample.com may")
@given(st.binary(max_size=200) | st.text("ab.[]:={}|, \n\t#maytch", max_size=80).map(str.encode))
def test_no_octets_make_reading_fail(content: bytes) -> None:
    for entry in parse_postfix_table(content, FILE).entries:
        assert isinstance(entry, TableEntry | WrongEntry)
