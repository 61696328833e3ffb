"""The pages: what is said, escaped whatever it is, with no scripts and nothing from elsewhere."""

import re
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.audit.heads import SignedHead
from letterlock.protocols.audit.records import Head
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.public import PublicIncident, PublicStatus
from letterlock.storage.ca.incidents import Incident, IncidentCounts, IncidentState
from letterlock.storage.ca.kept import NOT_HALTED, Halt
from letterlock.web.ca.status.answers import Answered, HostAnswer, Verdict
from letterlock.web.ca.status.pages import HEADERS, POLICY, Pages
from tests.fakes import START

PAGES = Pages("Example & Co CA", "https://ca.example/base", has_form=True)
INCIDENT = Incident(
    "20260301-abcd",
    IncidentState.ENABLED,
    "one name <b>was</b> looked up",
    "https://ca.example/base/status/incident/20260301-abcd",
    START + timedelta(days=5),
    Reason.SUPERSEDED,
    "missing caa",
    START,
    "operator me",
    START,
)
FOUND = PublicIncident(INCIDENT, IncidentCounts(10, 9, 5, 4, 0, 6, 3, 2))
STATUS = PublicStatus(START, NOT_HALTED, (FOUND,), SignedHead(Head(7, b""), START, b"", b""))
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "a", "br", "form"),
    *("label", "input", "button", "table", "tr", "td", "th", "code"),
}


class Tags(HTMLParser):
    """Reads a page: its tags, its attributes, its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def read(page: bytes) -> Tags:
    tags = Tags()
    tags.feed(page.decode())
    return tags


def test_the_status_says_all_that_everybody_may_know() -> None:
    tags = read(PAGES.write_status(STATUS))
    for words in (
        "Example & Co CA: status",
        "Certificates are issued.",
        "20260301-abcd (under way): one name <b>was</b> looked up",
        "Renew by 6 March 2026, 12:00 UTC. 10 certificates: 5 replaced, 4 revoked, 6 left.",
        "7 records",
        "Is my host affected?",
    ):
        assert words in " ".join(tags.words.split()) or words in tags.words
    assert ("href", "https://ca.example/base/status/incident/20260301-abcd") in tags.attributes
    assert ("action", "https://ca.example/base/status/host") in tags.attributes
    assert "operator me" not in tags.words


def test_a_halt_says_why() -> None:
    halt = Halt(is_halted=True, since=START, why="a key <was> lost", who="operator me")
    tags = read(PAGES.write_status(replace(STATUS, halt=halt, incidents=(), head=None)))
    assert "Issuance is halted since 1 March 2026, 12:00 UTC: a key <was> lost" in tags.words
    assert "None." in tags.words
    assert "records" not in tags.words
    bare = Halt(is_halted=True, why="so")
    assert "Issuance is halted: so" in read(PAGES.write_status(replace(STATUS, halt=bare))).words


def test_an_incident_says_what_is_to_be_done_until_when() -> None:
    words = read(PAGES.write_incident(FOUND)).words
    assert "one name <b>was</b> looked up" in words
    assert "6 March 2026, 12:00 UTC" in words
    assert "under way" in words
    assert "renew by hand" in words
    ended = replace(FOUND, incident=replace(INCIDENT, state=IncidentState.ENDED))
    assert "ended" in read(PAGES.write_incident(ended)).words


def test_without_the_form_there_is_none() -> None:
    pages = Pages("CA", "https://ca.example", has_form=False)
    for page in (pages.write_status(STATUS), pages.write_incident(FOUND)):
        assert "form" not in read(page).tags


def test_each_verdict_has_its_words() -> None:
    found = tuple(Answered("a:25", each, "0a1b", "why") for each in Verdict)
    words = read(PAGES.write_answer(HostAnswer("a", "summary", found))).words
    for each in ("affected: renew it", "revoked: renew it", "not affected", "not known", "why"):
        assert each in words
    assert "a:25" not in read(PAGES.write_answer(HostAnswer("", "summary"))).words


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x>', "' onclick='x", "&lt;", "</style>", "]]>"]
)


@given(TEXTS, TEXTS, TEXTS)
def test_no_words_of_anybody_become_markup(one: str, two: str, three: str) -> None:
    incident = replace(INCIDENT, id=one, why=two, page=three)
    halt = Halt(is_halted=True, since=START, why=three, who=one)
    status = replace(STATUS, halt=halt, incidents=(replace(FOUND, incident=incident),))
    answered = Answered(one, Verdict.UNKNOWN, two, three)
    pages = Pages(two, "https://ca.example", has_form=True)
    for page in (
        pages.write_status(status),
        pages.write_incident(replace(FOUND, incident=incident)),
        pages.write_answer(HostAnswer(three, one, (answered,))),
        pages.write_refusal(one, two),
    ):
        tags = read(page.decode("utf-8", "replace").encode())
        assert tags.tags <= ALLOWED
        assert not any(key.startswith("on") for key, _ in tags.attributes)
        sources = [value for key, value in tags.attributes if key in ("href", "action", "src")]
        assert all(value and value.startswith("https://ca.example/") for value in sources)


def test_the_policy_lets_nothing_run_and_names_the_one_style() -> None:
    page = PAGES.write_status(STATUS).decode()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none'; ")
    assert "script" not in POLICY
    assert dict(HEADERS)["Content-Security-Policy"] == POLICY
    assert "style=" not in page
