"""`letterlock tlsrpt summary`: what kept reports say, added up."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)
from letterlock.cli.report_store import (
    find_since,
    find_today,
    since_option,
    take_domain,
    with_store,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.services.check.host_now import HostNow
    from letterlock.services.intake.summary import (
        FailingKind,
        SeenPolicy,
        Sessions,
        SubmitterDays,
        Summary,
    )
    from letterlock.storage.received_reports import DomainCount, ReceivedStore

SUMMARY_KEYS = {
    "since": "the first day that counts, in UTC",
    "domains[]": "only without DOMAIN: each policy domain with `domain`, `reports`, `submitters`, "
    "`first` and `last`",
    "domain": "the policy domain; of DANE it is the MX host, or what its name stands for",
    "reports": "results that count",
    "totals[].type": "sts, tlsa, no-policy-found, or another word; types count the same sessions",
    "totals[].successful": "sessions that met the policy, as far as it is told",
    "totals[].failed": "sessions that failed, as far as it is told",
    "totals[].unknown": "results that do not tell one of the two",
    "days[]": "the same for each day, with `day` and `submitters`",
    "failures[].type": "the policy's type",
    "failures[].result_type": "in RFC 8460's words; null where no detail is told",
    "failures[].receiving_mx_hostname": "at which MX host, or null",
    "failures[].reason_code": "the sender's words, or null",
    "failures[].count": "in how many sessions; at least, where `exact` is false",
    "failures[].exact": "whether each report told its count",
    "failures[].first": "the first day with it",
    "failures[].last": "the last one",
    "failures[].new": "whether the last week saw it first",
    "failures[].submitters[]": "who reported it",
    "failures[].sending_mta_ips[]": "from where, at most 20",
    "failures[].means": "what that is, and whose business it usually is",
    "failures[].now": "only with --probe: what is there now at that host, or, where none is told, "
    "in what the domain publishes: `asked` (false: it was not, or did not answer), `says` in one "
    "line, `findings` and `addresses` as in `check`",
    "submitters[].submitter": "who reports",
    "submitters[].days": "on how many days",
    "submitters[].first": "the first one",
    "submitters[].last": "the last one",
    "submitters[].silent_days": "since when nothing comes of one who reported each day, or null",
    "submitters[].totals[]": "as above",
    "policies[].type": "sts or tlsa",
    "policies[].strings[]": "the policy as senders saw it, in one order",
    "policies[].first": "the first day on which somebody did",
    "policies[].last": "the last one",
    "policies[].submitters[]": "who did",
    "policies[].published": "whether it is the one that this node publishes now; null: it does not "
    "publish one of that type for the domain",
}
Published = tuple[str, ...] | None
EVER = date.min
MAX_SHOWN = 10
TYPES = {"sts": "MTA-STS", "tlsa": "DANE", "no-policy-found": "no policy", "": "a type not told"}


@click.command()
@click.argument("domain", required=False)
@since_option
@click.option(
    "--probe",
    "is_probing",
    is_flag=True,
    help="Ask the failing hosts what they show now, as `letterlock check` does.",
)
@json_option(SUMMARY_KEYS)
@config_option
def summary(
    *,
    domain: str | None,
    since: datetime | None,
    is_probing: bool,
    as_json: bool,
    config_path: Path | None,
) -> int:
    """Add up what kept reports say of a policy DOMAIN; without one, list the domains.

    Sessions under MTA-STS and under DANE may be the same ones, and are not added up. What DANE came
    to is under the name of the MX host.

    With --probe the MX hosts of DOMAIN are asked, a few connections each, where failures are told.
    A host that a report names, and that is none of them, is not asked.

    Exit code 0: no failures are told; 1: there are some.
    """
    config = load_config_or_fail(config_path)
    if is_probing and domain is None:
        raise click.UsageError("--probe is for one DOMAIN")
    act_as_owner(config.data_dir)
    first, until = find_since(since), find_today() + timedelta(1)
    if domain is None:
        domains = with_store(config, lambda store: store.list_domains(first))
        _print_domains(first, domains, as_json=as_json)
        return ExitCode.FINE
    name = take_domain(domain)

    async def load(store: "ReceivedStore") -> "Summary":
        from letterlock.services.intake.summary import summarize  # noqa: PLC0415 - lazy, for -h

        # Those of tomorrow, too: a sender's clock may be ahead of ours.
        results = await store.list_results(name, first, until + timedelta(1))
        before = await store.list_results(name, EVER, first, only_failing=True)
        return summarize(name, results, before, first, until)

    found = with_store(config, load)
    published = find_published(config, name)
    now = _probe(config, found) if is_probing and found.failures else {}
    if as_json:
        print_json(_describe(found, published, now))
    else:
        _print(found, published, now)
    return ExitCode.BAD_NEWS if found.failures else ExitCode.FINE


_NOT_TOLD = "the report tells no more. Whose: not known. Do: ask the sender, at contact-info."


def find_published(config: "Config", domain: str) -> Published:
    """Give the lines of the MTA-STS policy that we publish for a domain; None: we do not."""
    if domain not in config.publishing.mta_sts.domains:
        return None
    from letterlock.node.publishing import make_policy  # noqa: PLC0415 - lazy, for -h
    from letterlock.protocols.mta_sts.policy import format_policy  # noqa: PLC0415 - as above
    from letterlock.services.intake.summary import normalize_policy  # noqa: PLC0415 - as above

    return normalize_policy("sts", format_policy(make_policy(config)).splitlines())


def _probe(config: "Config", found: "Summary") -> "dict[str, HostNow]":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - as above
    from letterlock.node.report_probing import probe_hosts  # noqa: PLC0415 - as above

    hosts = dict.fromkeys(each.kind.host for each in found.failures)
    try:
        return probe_hosts(config, found.domain, hosts, SystemClock())
    except LocalError as error:
        raise CommandFailed(str(error)) from None


def _is_published(policy: "SeenPolicy", published: Published) -> bool | None:
    if published is None or policy.type != "sts":
        return None
    return policy.strings == published


def _print_domains(since: date, found: list["DomainCount"], *, as_json: bool) -> None:
    if as_json:
        domains = [
            {
                "domain": each.domain,
                "reports": each.reports,
                "submitters": each.submitters,
                "first": each.first.isoformat(),
                "last": each.last.isoformat(),
            }
            for each in found
        ]
        print_json({"since": since.isoformat(), "domains": domains})
        return
    for each in found:
        who = format_count(each.submitters, "sender")
        reports = format_count(each.reports, "report")
        click.echo(f"{each.domain}: {reports} of {who}, {each.first} to {each.last}")
    if not found:
        click.echo(f"No reports count for days from {since.isoformat()} on.")


def describe_sessions(kind: str, sessions: "Sessions") -> dict[str, Any]:
    """Give sessions under one type of policy as they are told in JSON."""
    return {
        "type": kind,
        "successful": sessions.successful,
        "failed": sessions.failed,
        "unknown": sessions.unknown,
    }


def _describe(
    found: "Summary", published: Published, now: "Mapping[str, HostNow]"
) -> dict[str, Any]:
    return {
        "domain": found.domain,
        "since": found.since.isoformat(),
        "reports": found.reports,
        "totals": [describe_sessions(*each) for each in found.totals.items()],
        "days": [
            {
                "day": each.day.isoformat(),
                **describe_sessions(each.type, each.sessions),
                "submitters": each.submitters,
            }
            for each in found.days
        ],
        "failures": [
            describe_failing(each) | _describe_now(now.get(each.kind.host))
            for each in found.failures
        ],
        "submitters": [_describe_submitter(each) for each in found.submitters],
        "policies": [
            {**describe_seen(each), "published": _is_published(each, published)}
            for each in found.policies
        ],
    }


def describe_failing(failing: "FailingKind") -> dict[str, Any]:
    """Give failures that are alike as they are told in JSON."""
    from letterlock.protocols.tlsrpt.meanings import find_meaning  # noqa: PLC0415 - lazy, for -h

    kind = failing.kind
    means = _NOT_TOLD
    if kind.result_type:
        meaning = find_meaning(kind.result_type)
        means = f"{meaning.what}. Whose: {meaning.whose}. Do: {meaning.remedy}."
    return {
        "type": kind.type,
        "result_type": kind.result_type or None,
        "receiving_mx_hostname": kind.host or None,
        "reason_code": kind.reason or None,
        "count": failing.count,
        "exact": failing.is_count_known,
        "first": failing.first.isoformat(),
        "last": failing.last.isoformat(),
        "new": failing.is_new,
        "submitters": list(failing.submitters),
        "sending_mta_ips": list(failing.senders),
        "means": means,
    }


def _describe_now(now: "HostNow | None") -> dict[str, Any]:
    if now is None:
        return {}
    return {
        "now": {
            "asked": now.is_asked,
            "says": now.says,
            "findings": list(now.findings),
            "addresses": list(now.addresses),
        }
    }


def _describe_submitter(submitter: "SubmitterDays") -> dict[str, Any]:
    return {
        "submitter": submitter.submitter,
        "days": submitter.days,
        "first": submitter.first.isoformat(),
        "last": submitter.last.isoformat(),
        "silent_days": submitter.silent_days,
        "totals": [describe_sessions(*each) for each in submitter.by_type.items()],
    }


def describe_seen(policy: "SeenPolicy") -> dict[str, Any]:
    """Give a policy that senders saw as it is told in JSON."""
    return {
        "type": policy.type,
        "strings": list(policy.strings),
        "first": policy.first.isoformat(),
        "last": policy.last.isoformat(),
        "submitters": list(policy.submitters),
    }


def _print(found: "Summary", published: Published, now: "Mapping[str, HostNow]") -> None:
    from letterlock.base.printable import make_printable  # noqa: PLC0415 - lazy, for -h
    from letterlock.cli.story_text import tell  # noqa: PLC0415 - as above

    click.echo(make_printable(f"{found.domain}, from {found.since} on"))
    if not found.reports:
        click.echo("  no reports count")
        return
    failing_types = {each.kind.type for each in found.failures}
    for kind, sessions in found.totals.items():
        # Whether the rest was fine is not known where a report does not tell a count.
        is_fine = "not told" if sessions.unknown else "fine"
        label = "FAILED" if sessions.failed or kind in failing_types else is_fine
        _echo(tell(label, f"{format_type(kind)}: {format_sessions(sessions)}"))
    for failing in found.failures[:MAX_SHOWN]:
        _echo(tell("new" if failing.is_new else "", format_failing(failing)))
    _echo_more(len(found.failures), "kinds of failures")
    for host, seen in now.items():
        _echo(tell("now", f"{host or found.domain}: {seen.says}"))
    for place, submitter in enumerate(found.submitters[:MAX_SHOWN]):
        _echo(tell("" if place else "senders", _format_submitter(submitter)))
    _echo_more(len(found.submitters), "senders")
    for place, policy in enumerate(found.policies[:MAX_SHOWN]):
        note = {True: "; as published", False: "; NOT what is published now", None: ""}
        text = format_seen(policy) + note[_is_published(policy, published)]
        _echo(tell("" if place else "policies", text))
    _echo_more(len(found.policies), "policies")


def _echo(lines: Any) -> None:
    for line in lines:
        click.echo(line)


def _echo_more(number: int, what: str) -> None:
    if number > MAX_SHOWN:
        click.echo(f"  and {number - MAX_SHOWN} {what} more; --json has them all")


def format_type(kind: str) -> str:
    """Name a type of policies for people."""
    return TYPES.get(kind, kind)


def format_sessions(sessions: "Sessions") -> str:
    """Tell how sessions fared."""
    share = f", {sessions.failed / sessions.total:.2%}" if sessions.failed else ""
    untold = format_count(sessions.unknown, "result does", "results do")
    unknown = f"; {untold} not tell all" if sessions.unknown else ""
    plural = "s" * (sessions.total != 1)
    return f"{sessions.failed} of {sessions.total} session{plural} failed{share}{unknown}"


def format_failing(failing: "FailingKind") -> str:
    """Tell failures that are alike, with what they mean."""
    told = describe_failing(failing)
    words = [f"{'' if failing.is_count_known else 'at least '}{failing.count}"]
    words.append(told["result_type"] or "of a kind not told")
    if host := told["receiving_mx_hostname"]:
        words.append(f"at {host}")
    if reason := told["reason_code"]:
        words.append(f"({reason})")
    words.append(f"under {format_type(failing.kind.type)}, {failing.first} to {failing.last},")
    words.append(f"told by {format_submitters(failing.submitters)}")
    return f"{' '.join(words)} = {told['means']}"


def format_submitters(submitters: Sequence[str]) -> str:
    """Name who reports, which not every report tells."""
    return ", ".join(each or "not told" for each in submitters)


def _format_submitter(submitter: "SubmitterDays") -> str:
    silent = submitter.silent_days
    end = "" if silent is None else f": it has STOPPED, nothing for {format_count(silent, 'day')}"
    who = format_submitters((submitter.submitter,))
    days = format_count(submitter.days, "day")
    return f"{who}, {days}, the last {submitter.last}{end}"


def format_seen(policy: "SeenPolicy") -> str:
    """Tell a policy as senders saw it."""
    lines = "; ".join(policy.strings)
    who = format_submitters(policy.submitters)
    return f"{format_type(policy.type)}, {policy.first} to {policy.last}, by {who}: {lines}"
