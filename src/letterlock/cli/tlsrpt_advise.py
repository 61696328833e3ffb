"""`letterlock tlsrpt advise`: whether a domain's MTA-STS policy may be enforced, by its reports."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)
from letterlock.cli.report_store import find_today, take_domain, with_store
from letterlock.cli.tlsrpt_summary import (
    describe_failing,
    describe_seen,
    describe_sessions,
    find_published,
    format_failing,
    format_seen,
    format_sessions,
    format_submitters,
)

if TYPE_CHECKING:
    from letterlock.services.intake.advice import Advice

ADVICE_KEYS = {
    "domain": "the policy domain",
    "verdict": "enforce; wait (too little is known); mend (sessions failed); or enforced already",
    "reasons[]": "what is missing, or speaks against it",
    "since": "the first day that was looked at, four weeks before today",
    "days": "on how many of them there are reports on MTA-STS",
    "submitters[]": "whose; empty: it is not told",
    "sessions": "`successful`, `failed`, `unknown` (results that do not tell one of the two)",
    "failures[]": "as in `tlsrpt summary`",
    "policy": "the last policy that a sender saw, one that is proved if there is any, as in "
    "`tlsrpt summary`, or null",
}
_SENTENCES = {
    "enforce": "mode: enforce is safe, as far as reports tell.",
    "wait": "Wait: too little is known for mode: enforce.",
    "mend": "Mend what failed: under mode: enforce such mail does not arrive.",
    "enforced": "Senders see mode: enforce already, and nothing fails.",
}


@click.command()
@click.argument("domain")
@json_option(ADVICE_KEYS)
@config_option
def advise(*, domain: str, as_json: bool, config_path: Path | None) -> int:
    """Tell if DOMAIN's MTA-STS policy can go from testing to enforce, with the evidence.

    It takes four weeks of reports: 14 days with some, of two senders, on 100 sessions that met the
    policy, and none that failed. Only those on the policy that was seen last speak for it, and on
    policies with the same MX hosts.

    Exit code 0: it can, or it is enforced; 1: not yet.
    """
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    from letterlock.services.intake import advice  # noqa: PLC0415 - lazy, for -h

    name, until = take_domain(domain), find_today() + timedelta(1)
    since = until - timedelta(advice.WINDOW_DAYS)
    results = with_store(config, lambda store: store.list_results(name, since, until))
    found = advice.advise(name, results, until, find_published(config, name))
    if as_json:
        document = {
            "domain": found.domain,
            "verdict": found.verdict.value,
            "reasons": list(found.reasons),
            "since": found.since.isoformat(),
            "days": found.days,
            "submitters": list(found.submitters),
            "sessions": describe_sessions("sts", found.sessions),
            "failures": [describe_failing(each) for each in found.failures],
            "policy": None if found.policy is None else describe_seen(found.policy),
        }
        print_json(document)
    else:
        _print(found)
    is_good = found.verdict in {advice.Verdict.ENFORCE, advice.Verdict.ENFORCED}
    return ExitCode.FINE if is_good else ExitCode.BAD_NEWS


def _print(found: "Advice") -> None:
    from letterlock.cli.story_text import tell  # noqa: PLC0415 - lazy, for -h

    click.echo(f"{found.domain}: {_SENTENCES[found.verdict.value]}")
    lines = [("because" if not place else "", each) for place, each in enumerate(found.reasons)]
    lines.append(
        ("evidence", f"from {found.since} on: {format_count(found.days, 'day')} with reports")
    )
    lines.append(("", format_sessions(found.sessions)))
    if found.submitters:
        lines.append(("", f"told by {format_submitters(found.submitters)}"))
    lines += [("FAILED", format_failing(each)) for each in found.failures]
    if found.policy is not None:
        lines.append(("policy", format_seen(found.policy)))
    for label, text in lines:
        for line in tell(label, text):
            click.echo(line)
