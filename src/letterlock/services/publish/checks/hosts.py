"""MX records, and the addresses and reverse names of the hosts they name.

RFC 5321 §5.1, RFC 2181 §10.3 (no alias behind an MX record). Null MX records are in `null_mx`.
"""

from collections.abc import Iterator

from letterlock.base.domains import Domain
from letterlock.network.public_addresses import is_public
from letterlock.protocols.dns.answers import Existence
from letterlock.services.discover.routes import is_address_text
from letterlock.services.publish.checks.null_mx import check_null_mx, has_null_mx
from letterlock.services.publish.findings import Code, Finding, error, warning
from letterlock.services.publish.observed import Observed
from letterlock.services.publish.records import IpAddress, OwnHost, Plan, list_hosts


def check_mx(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check the MX records of the domain."""
    domain, answer = observed.domain, observed.find(observed.domain, "MX")
    if not answer.is_answer:
        return
    wanted = [host.name for host in list_hosts(plan)]
    add = _join_adding(wanted) or "add an MX record"
    if answer.existence is Existence.NXDOMAIN:
        fix = f"look whether the name is right; if so, register it and give it a zone; there {add}"
        yield error(Code.DOMAIN_MISSING, domain, "the domain does not exist in DNS", fix)
        return
    yield from check_null_mx(observed, plan, add)
    exchanges = [record.exchange for record in observed.find_mx() if record.exchange is not None]
    if answer.reason:
        text = f"what an MX record names has to be a host: {answer.reason}"
        tell = warning if exchanges else error
        yield tell(Code.MX_INVALID, domain, text, "name a host there, or remove that record")
    if not exchanges:
        if not answer.reason and not has_null_mx(observed):
            text = "there is no MX record: senders try the addresses of the domain itself"
            yield error(Code.MX_MISSING, domain, text, add)
        return
    held = plan.own.held_hosts if plan is not None else {}
    for name in wanted:
        if name not in exchanges and name not in held:
            text = f"no MX record names {name}: no mail comes to it"
            yield error(Code.MX_HOST_MISSING, domain, text, _join_adding([name]))
    for name in exchanges:
        if wanted and name not in wanted:
            text = f"mail goes to {name} too, which is not in publishing.mx_hosts"
            yield warning(Code.MX_HOST_FOREIGN, domain, text, f"list {name} there, or remove it")


def check_hosts(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check the addresses and reverse names of every host."""
    own_hosts = {host.name: host for host in list_hosts(plan)}
    for name in observed.hosts:
        if is_address_text(name):
            text = f"an MX record names the address {name}; it must name a host"
            fix = "give the host a name with this address, and put that into the MX record"
            yield error(Code.MX_IS_ADDRESS, observed.domain, text, fix)
            continue
        yield from _check_addresses(observed, name, own_hosts.get(name))
        for address in observed.find_addresses(name):
            host = own_hosts.get(name)
            if host is not None and host.is_here:
                yield from check_reverse(observed, host, address)


def check_reverse(observed: Observed, host: OwnHost, address: IpAddress) -> Iterator[Finding]:
    """Check the name of an address that mail is sent from, which an MX host of others need not."""
    name = Domain(address.reverse_pointer)
    answer = observed.find(name, "PTR")
    if not answer.is_answer or not (is_public(address) or address in host.addresses):
        return
    fix = f"have who gave you {address} set its reverse name to {host.name}"
    names = [each for each in answer.records if isinstance(each, str)]
    if not names:
        text = f"{address} has no reverse name: many refuse mail from there"
        yield error(Code.PTR_MISSING, name, text, fix)
    elif host.name not in names:
        text = f"the reverse name of {address} is {_join(names)}, not {host.name}"
        yield warning(Code.PTR_DIFFERS, name, text, fix)
    rdtype = "A" if address.version == 4 else "AAAA"
    for each in names:
        forward = observed.find(each, rdtype)
        if forward.is_answer and address not in forward.records:
            text = f"the reverse name of {address} is {each}, which does not have this address"
            yield error(Code.PTR_NOT_CONFIRMED, name, text, fix)


def _check_addresses(observed: Observed, name: Domain, own: OwnHost | None) -> Iterator[Finding]:
    answers = (observed.find(name, "A"), observed.find(name, "AAAA"))
    alias = next((answer.cnames[-1].target for answer in answers if answer.cnames), None)
    if alias is not None:
        text = f"{name} is an alias of {alias}; an MX record must not name an alias"
        fix = f"put {alias} into the MX record, or give {name} addresses of its own"
        yield error(Code.MX_IS_ALIAS, name, text, fix)
    published = observed.find_addresses(name)
    known = own.addresses if own is not None and own.is_here else ()
    if not published and all(answer.is_answer for answer in answers):
        fix = _join_addresses(name, known) or f"add an A or AAAA record to {name}"
        yield error(Code.ADDRESS_MISSING, name, f"{name} has no address: no mail can come", fix)
        return
    for address in published:
        if not is_public(address) and address not in known:
            text = f"{address} is not an address of the Internet: nobody outside can reach it"
            yield error(Code.ADDRESS_NOT_PUBLIC, name, text, f"remove {address} from {name}")
        elif known and address not in known:
            text = f"{name} has the address {address}, which is not one of this host's"
            fix = f"remove it, or name it in publishing.addresses; ours: {_join(known)}"
            yield warning(Code.ADDRESS_FOREIGN, name, text, fix)
    for address in known:
        answer = answers[0] if address.version == 4 else answers[1]
        if address not in published and answer.is_answer:
            text = f"{name} lacks the address {address}"
            yield error(Code.ADDRESS_MISSING, name, text, _join_addresses(name, (address,)))


def _join_adding(hosts: list[Domain]) -> str:
    return f"add an MX record for {_join(hosts)}" if hosts else ""


def _join_addresses(name: Domain, addresses: tuple[IpAddress, ...]) -> str:
    lines = (f"{name}. {'A' if each.version == 4 else 'AAAA'} {each}" for each in addresses)
    return f"add {', '.join(lines)}" if addresses else ""


def _join(items: object) -> str:
    assert isinstance(items, list | tuple)
    return ", ".join(map(str, items))
