"""TLS reports read a second, beside parsedmarc: from a mail, or JSON, to a normalised report.

Then a Postfix's sessions counted a second, and what a burst of them loses (`datagrams`); and how
long a day's reports to 10,000 domains take (`own_reports`). At last reports of others: kept a
second, and one domain's added up among a million (`received_reports`); and posted over HTTPS
(`posted_reports`).

Seconds are of the CPU, on one core; both sides read the same mail in turn, round by round. No
signature is looked at, by either.
"""

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.datagrams import measure as measure_datagrams
from benchmarks.own_reports import measure as measure_own_reports
from benchmarks.posted_reports import measure as measure_posted
from benchmarks.received_reports import measure as measure_received
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.report import ReadReport
from tests.interop.parsedmarc_peer import Parsedmarc, is_here, running_parsedmarc
from tests.protocols.tlsrpt.corpus import (
    GOOGLE,
    MICROSOFT,
    encode,
    make_document,
    make_failure,
    make_mail,
    make_result,
)

MIN_RATIO = 12.0
"""Of the mail in Google's form to parsedmarc."""
MIN_JSON_RATE = 5000.0
MAX_LARGE_MS = 60.0
DETAILS = 20_000


@dataclass(frozen=True, slots=True)
class Contest:
    """One thing that is measured. `mail`: what parsedmarc reads, None for nothing."""

    title: str
    ours: Callable[[], object]
    octets: int
    mail: bytes | None
    times: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    print(
        f"TLS reports: {os.cpu_count()} cores, Python {platform.python_version()}, medians of "
        f"{options.rounds} rounds, load average {os.getloadavg()[0]:.1f} at the start"
    )
    with _rival() as rival:
        for contest in _list_contests():
            print(_run(contest, options.rounds, rival))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"the most memory that this process had: {peak} MiB")
    for measure in (measure_datagrams, measure_own_reports, measure_received, measure_posted):
        for line in measure():
            print(line)


def _list_contests() -> Iterator[Contest]:
    for form, title in ((GOOGLE, "mail like Google's"), (MICROSOFT, "mail like Microsoft's")):
        mail = make_mail(encode(form.document))
        yield Contest(title, partial(read_mail, mail), len(mail), mail, 300)
    octets = encode(GOOGLE.document)
    yield Contest("JSON alone", partial(parse_report, octets), len(octets), None, 1000)
    for kind, change in (("", {}), (", to repair", {"contact-info": None})):
        large = make_large(change)
        title = f"{DETAILS} failures{kind}"
        yield Contest(title, partial(parse_report, large), len(large), None, 2)


def read_mail(mail: bytes) -> None:
    """Read a mail that has one report."""
    (found,) = read_file(mail)
    assert isinstance(found, ReadReport)


def make_large(change: dict[str, None]) -> bytes:
    """Make a report of many failures, whose hosts and addresses repeat as real ones do."""
    failures = [
        make_failure(
            sending_mta_ip=f"192.0.2.{number % 250}",
            receiving_ip=f"2001:db8::{number % 5 + 1}",
            failed_session_count=number + 1,
            failure_reason_code="X509_V_ERR_CERT_HAS_EXPIRED",
        )
        for number in range(DETAILS)
    ]
    document = make_document(policies=[make_result(failure_details=failures)], **change)
    return json.dumps(document, separators=(",", ":")).encode()


def _run(contest: Contest, rounds: int, rival: Parsedmarc | None) -> str:
    """Measure in turn; the ratio is the median of those of the rounds."""
    ours, theirs, ratios = [], [], []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(contest.times):
            contest.ours()
        ours.append((time.process_time() - start) / contest.times)
        if rival is not None and contest.mail is not None:
            times = max(1, contest.times // 10)
            theirs.append(rival.measure(contest.mail, times) / times)
            ratios.append(theirs[-1] / ours[-1])
    seconds = median(ours)
    line = (
        f"{contest.title:<26}{1 / seconds:9.0f}/s{seconds * 1e6:10.0f} us"
        f"{contest.octets / seconds / 1e6:8.1f} MB/s"
    )
    if ratios:
        line += f"   parsedmarc {1 / median(theirs):6.0f}/s   ratio {median(ratios):5.1f}"
    return line + _judge(contest, seconds, ratios)


def _judge(contest: Contest, seconds: float, ratios: list[float]) -> str:
    if contest.title == "mail like Google's" and ratios:
        return f"   at least {MIN_RATIO:.0f}: {_verdict(median(ratios) >= MIN_RATIO)}"
    if contest.title == "JSON alone":
        return f"   at least {MIN_JSON_RATE:.0f}/s: {_verdict(1 / seconds >= MIN_JSON_RATE)}"
    if contest.title == f"{DETAILS} failures":
        return f"   at most {MAX_LARGE_MS:.0f} ms: {_verdict(seconds * 1000 <= MAX_LARGE_MS)}"
    return ""


def _verdict(is_met: bool) -> str:  # noqa: FBT001 - private
    return "met" if is_met else "MISSED"


@contextmanager
def _rival() -> Iterator[Parsedmarc | None]:
    if not is_here():
        print("parsedmarc is not there (`make parsedmarc`): nothing beside us is measured")
        yield None
        return
    with running_parsedmarc() as running:
        yield running


if __name__ == "__main__":
    main()
