"""From a draft to a certificate: the serial number is taken, it is signed, held up, and kept.

Baseline Requirements 4.3.1 and 5.4.1. Between taking the number and the signature stand a commit
that has been done, the halt switch, and the age of what the certificate rests on.
"""

import asyncio
from datetime import timedelta
from hashlib import sha256
from secrets import token_urlsafe

from letterlock.base.log import Service
from letterlock.protocols.acme.server.objects import Certificate
from letterlock.protocols.acme.server.transitions import complete_order
from letterlock.protocols.audit.decisions import NameBasis, SigningLogged
from letterlock.protocols.caa.rechecks import ProvedName, find_due
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.signing import KeyUnavailable, SigningError
from letterlock.protocols.pki.issuance.subject_keys import digest_spki
from letterlock.services.ca.audit_entries import describe_basis
from letterlock.services.ca.issuing.drafting import Drafted, DraftError, check_signed
from letterlock.services.ca.issuing.outcomes import (
    Issued,
    Outcome,
    Overtaken,
    Postponed,
    make_internal_problem,
)
from letterlock.services.ca.issuing.signing import sign
from letterlock.services.ca.issuing.tools import IssuingTools, Ready, judge_halt
from letterlock.storage.ca import changes, kept
from letterlock.storage.queue import StoreUnavailable

FINISH_WITHIN = timedelta(minutes=10)
"""Behind the moment at which a serial number was taken. Later nothing is signed or kept with it: it
is on its way to a CRL (`unused_serials`)."""
CERTIFICATE_ID_OCTETS = 16
MAX_NAMES_TOLD = 3


async def certify(tools: IssuingTools, ready: Ready) -> Outcome:
    """Make the certificate. Raises StoreUnavailable."""
    if not await _take(tools, ready):
        return Overtaken()
    halt = await tools.store.load_halt()
    if (halted := judge_halt(halt)) is not None:
        return halted
    order = ready.order.order
    if find_due(ready.names, tools.clock.now(), tools.caa_rule) or not _is_in_time(
        tools, ready.drafted
    ):
        tools.tell(order, "warning", "what was found is too old by now: once more")
        return Postponed(make_internal_problem())
    issuer = tools.authority.issuer
    try:
        der = await sign(ready.drafted.draft, issuer.signer)
        check_signed(der, ready.drafted, issuer, tools.clock.now())
    except KeyUnavailable as error:
        tools.tell(order, "error", f"the authority's key: {error}")
        return Postponed(make_internal_problem())
    except (SigningError, DraftError) as error:
        return tools.refuse_internally(order, str(error))
    return await _keep(tools, ready, der, halt)


async def _take(tools: IssuingTools, ready: Ready) -> bool:
    """Take the serial number, and keep what allows the certificate; False: it is others' now."""
    steps: list[changes.Change] = [
        changes.ChangeAuthorization(each.authorization, each.authorization, name.check)
        for each, name in zip(ready.order.authorizations, ready.names, strict=True)
        if name.check != each.check
    ]
    steps.append(changes.AddSerial(ready.drafted.serial))
    # As it is: only to see that it is still ours.
    steps.append(changes.ProlongLease(ready.lease, ready.lease.until))
    logged = (*ready.looked, ready.drafted.log_lint(), ready.drafted.log_serial())
    return await tools.store.commit(steps, tools.log_all(logged))


async def _keep(tools: IssuingTools, ready: Ready, der: bytes, halt: kept.Halt) -> Outcome:
    """Keep all that there is now, in one commit; it is tried again, for the signature is made.

    Not where the switch was thrown meanwhile: from that moment on nobody gets a certificate.
    """
    order = ready.order.order
    certificate = _describe(tools, ready)
    done = complete_order(order, certificate.id, certificate.not_after)
    steps = (
        changes.ChangeOrder(order, done),
        changes.AddCertificate(_join(tools, ready, certificate, der)),
        changes.EndWork(ready.lease),
        changes.ChangeHalt(halt, halt),
    )
    entries = tools.log_all((_log_signing(ready, certificate, der),))
    for seconds in (*tools.commit_waits, None):
        if not _is_in_time(tools, ready.drafted):
            break
        try:
            if await tools.store.commit(steps, entries) or await _is_kept(tools, certificate):
                _tell_issued(tools, certificate)
                return Issued()
            break
        except StoreUnavailable as error:
            if seconds is None:
                raise
            tools.tell(order, "warning", f"what is signed cannot be kept yet: {error}")
            await asyncio.sleep(seconds)
    number = format_serial(certificate.name.serial)
    tools.tell(order, "warning", f"certificate {number} was signed in vain and is thrown away")
    return Overtaken()


async def _is_kept(tools: IssuingTools, certificate: Certificate) -> bool:
    """Tell whether a try before was done, of which nobody knew."""
    found = await tools.store.load_order(certificate.order_id)
    return found is not None and found.order.certificate_id == certificate.id


def _is_in_time(tools: IssuingTools, drafted: Drafted) -> bool:
    age = tools.clock.now() - drafted.serial.moment
    return timedelta() <= age < FINISH_WITHIN


def _describe(tools: IssuingTools, ready: Ready) -> Certificate:
    order, drafted = ready.order.order, ready.drafted
    return Certificate(
        id=token_urlsafe(CERTIFICATE_ID_OCTETS),
        name=drafted.serial.name,
        account_id=order.account_id,
        order_id=order.id,
        identifiers=order.identifiers,
        not_before=drafted.not_before,
        not_after=drafted.serial.not_after,
        key=drafted.judged.key,
        chain_count=len(tools.authority.chains),
    )


def _join(tools: IssuingTools, ready: Ready, certificate: Certificate, der: bytes) -> kept.Issued:
    return kept.Issued(
        certificate=certificate,
        der=der,
        chains=tools.authority.chains,
        spki_sha256=digest_spki(ready.drafted.judged.subject.key),
        profile=ready.drafted.serial.profile,
        issued=tools.clock.now(),
        lint=ready.drafted.lint,
        names=ready.names,
    )


def _log_signing(ready: Ready, certificate: Certificate, der: bytes) -> SigningLogged:
    return SigningLogged(
        order=certificate.order_id,
        account=certificate.account_id,
        serial=format_serial(certificate.name.serial),
        issuer=certificate.name.key_identifier.hex(),
        certificate=sha256(der).hexdigest(),
        draft=ready.drafted.digest,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        names=tuple(
            _describe_name(name, each)
            for name, each in zip(ready.names, ready.order.authorizations, strict=True)
        ),
    )


def _describe_name(name: ProvedName, authorization: kept.KeptAuthorization) -> NameBasis:
    proof = next(
        each for each in authorization.authorization.challenges if each.validated is not None
    )
    return describe_basis(name, authorization.authorization.id, proof.type, proof.validated)


def _tell_issued(tools: IssuingTools, certificate: Certificate) -> None:
    names = [each.value for each in certificate.identifiers]
    more = f" and {len(names) - MAX_NAMES_TOLD} more" if len(names) > MAX_NAMES_TOLD else ""
    tools.log.write(
        Service.CA,
        f"issued {format_serial(certificate.name.serial)} to account {certificate.account_id}: "
        f"{', '.join(names[:MAX_NAMES_TOLD])}{more}",
    )
