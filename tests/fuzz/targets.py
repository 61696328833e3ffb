"""All targets by name. A parser that takes octets or text from outside has one here."""

from tests.fuzz import (
    acme,
    acme_certificates,
    acme_server,
    addresses,
    audit,
    backups,
    caa,
    dkim,
    dns_changes,
    dns_messages,
    dnssec_chains,
    explain,
    filters,
    https,
    incidents,
    issuance,
    local_mail,
    maps,
    messages,
    milters,
    mta_sts,
    operators,
    posts,
    proxies,
    smtp_client,
    smtp_server,
    submission,
    tables,
    tls,
    tlsrpt,
    validation,
)
from tests.fuzz.target import Target

_MODULES = (
    *(
        smtp_server,
        smtp_client,
        messages,
        addresses,
        dns_messages,
        dnssec_chains,
        mta_sts,
        tls,
        tlsrpt,
        tables,
    ),
    *(https, maps, caa, dns_changes, acme, acme_certificates, operators, explain, dkim, submission),
    *(validation,),
    *(backups, local_mail, filters, milters, proxies, acme_server, incidents, issuance),
    *(audit, posts),
)
TARGETS: dict[str, Target] = {
    target.name: target for module in _MODULES for target in module.TARGETS
}
