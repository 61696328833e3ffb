"""CAA records: whether our own account may get certificates for our names, and who else may.

RFC 8659 §3, RFC 8657 §3, §4. Deciding is `protocols.caa`'s, as before each order.
"""

from collections.abc import Iterator

from letterlock.base.domains import Domain
from letterlock.protocols.caa.decide import CaaDecision, CaaVerdict, Issuance, decide
from letterlock.protocols.caa.publishing import find_remedy
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet, Relevant
from letterlock.protocols.dns.answers import Security
from letterlock.services.publish.findings import Code, Finding, error, note
from letterlock.services.publish.observed import Observed
from letterlock.services.publish.records import AcmeAccount, Plan, RecordKind, find_planned


def check_caa(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check each name that our certificates are for; without an account of ours nothing is known.

    An alias has the records of its target (RFC 8659 §3), so one finding stands for both.
    """
    accounts = plan.own.accounts if plan is not None else ()
    for name, relevant in observed.caa.items():
        if isinstance(relevant, LookupFailed):
            is_told = observed.find(relevant.at, "CAA").security is Security.BOGUS
            if relevant.security is Security.BOGUS and not is_told:
                text = f"CAA of {relevant.at}: {relevant.reason}: no authority issues then"
                yield error(Code.DNSSEC_BOGUS, relevant.at, text, "have the zone signed anew")
        elif accounts:
            yield from _check_name(name, relevant, accounts, plan)


def _check_name(
    name: Domain,
    relevant: RecordSet | NoRecords,
    accounts: tuple[AcmeAccount, ...],
    plan: Plan | None,
) -> Iterator[Finding]:
    planned = find_planned(plan, RecordKind.CAA)
    fix = f"add {planned[0].line}" if planned else ""
    if isinstance(relevant, NoRecords):
        text = f"there are no CAA records for {name}: every authority may issue certificates for it"
        yield note(Code.CAA_MISSING, name, text, fix)
        return
    verdicts = [verdict for each in accounts for verdict in _judge(name, relevant, each)]
    if not any(verdict.decision is CaaDecision.ALLOW for verdict in verdicts):
        remedy = find_remedy(verdicts[0], accounts[0].methods)
        text = f"our account gets no certificate for {name}: {verdicts[0].reason}"
        yield error(Code.CAA_FORBIDS_US, name, text, f"add {remedy}" if remedy else "")
    elif not {record.value for record in planned} & {str(each) for each in relevant.records}:
        text = f"the CAA records for {name} allow more than our account and its methods"
        yield note(Code.CAA_DIFFERS, name, text, fix)


def _judge(name: Domain, relevant: Relevant, account: AcmeAccount) -> list[CaaVerdict]:
    """Judge by each method; without any, by none that is known."""
    return [
        decide(
            relevant,
            Issuance(
                name,
                is_wildcard=False,
                issuers=(account.issuer,),
                accounts=(account.uri,),
                method=method,
            ),
        )
        for method in account.methods or (None,)
    ]
