"""Which domains name an authority in CAA records, by the organisation in the certificates it signs.

RFC 8659 §4.2: each authority publishes its own issuer domain names, in its certification practice
statement. This is what those of the authorities that serve mail said in November 2026. Who is not
here is not known, and nothing is said of its certificates.
"""

from letterlock.protocols.pki.certificate import CertificateFacts

_SECTIGO = ("sectigo.com", "comodoca.com", "comodo.com", "usertrust.com", "trust-provider.com")
_AMAZON = ("amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com")
_DIGICERT = (
    "digicert.com",
    "www.digicert.com",
    "digicert.ne.jp",
    "geotrust.com",
    "rapidssl.com",
    "thawte.com",
    "symantec.com",
    "digitalcertvalidation.com",
    *_AMAZON,
)
_GODADDY = ("godaddy.com", "starfieldtech.com")
_CERTUM = ("certum.pl", "certum.eu")
_HARICA = ("harica.gr",)
_GLOBALSIGN = ("globalsign.com",)
_SSL_COM = ("ssl.com",)
_TRUSTWAVE = ("trustwave.com", "vikingcloud.com", "securetrust.com")

_IDENTITIES = {
    "actalis s.p.a.": ("actalis.it",),
    "amazon": _AMAZON,
    "apple inc.": ("pki.apple.com",),
    "asseco data systems s.a.": _CERTUM,
    "buypass as-983163327": ("buypass.com", "buypass.no"),
    "certainly": ("certainly.com",),
    "certigna": ("certigna.fr", "certigna.com"),
    "certsign sa": ("certsign.ro",),
    "comodo ca limited": _SECTIGO,
    "d-trust gmbh": ("d-trust.net", "dtrust.de", "d-trust.de"),
    "deutsche telekom security gmbh": ("telesec.de", "pki.dfn.de", "dfn.de"),
    "digicert inc": _DIGICERT,
    "digicert, inc.": _DIGICERT,
    "entrust, inc.": ("entrust.net", "affirmtrust.com"),
    "globalsign nv-sa": _GLOBALSIGN,
    "godaddy.com, inc.": _GODADDY,
    "google trust services": ("pki.goog",),
    "google trust services llc": ("pki.goog",),
    "hellenic academic and research institutions ca": _HARICA,
    "identrust": ("identrust.com",),
    "internet security research group": ("letsencrypt.org",),
    "let's encrypt": ("letsencrypt.org",),
    "microsoft corporation": ("microsoft.com",),
    "quovadis limited": ("quovadisglobal.com", "digicert.com"),
    "secom trust systems co.,ltd.": ("secomtrust.net",),
    "sectigo limited": (*_SECTIGO, "entrust.net", "affirmtrust.com"),
    "ssl corp": _SSL_COM,
    "ssl corporation": _SSL_COM,
    "starfield technologies, inc.": _GODADDY,
    "swisssign ag": ("swisssign.com",),
    "telia company ab": ("telia.com",),
    "telia finland oyj": ("telia.com",),
    "trustwave holdings, inc.": _TRUSTWAVE,
    "unizeto technologies s.a.": _CERTUM,
    "viking cloud, inc.": _TRUSTWAVE,
    "zerossl": (*_SECTIGO, "zerossl.com"),
}
"""By organizationName, in small letters; the first is the one to publish."""


def find_identities(leaf: CertificateFacts) -> tuple[str, ...]:
    """Give the domains by which CAA records name who issued a certificate; none: not known."""
    return _IDENTITIES.get(leaf.issuer_organization.casefold(), ())
