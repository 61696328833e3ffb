"""What the Postfix that asks can take: which attributes it knows, and whether it has DNSSEC.

Postfix's postconf(5), smtp_tls_policy_maps. An attribute that a Postfix does not know makes the
whole answer invalid, and mail to that destination waits: so none is sent that it may not know.
"""

from dataclasses import dataclass

_SERVERNAME = (3, 4, 0)
_VERSION_BOUNDS = (3, 6, 0)
_POLICY_ATTRIBUTES = (3, 10, 0)
_MX_PATTERNS_ENFORCED = (3, 10, 5)


@dataclass(frozen=True, slots=True)
class AskingPostfix:
    """The Postfix that asks.

    `version` is 3, 10, 5 for 3.10.5. `has_dnssec`: its resolver validates, and it believes that.
    """

    version: tuple[int, int, int]
    has_dnssec: bool = True

    @property
    def knows_servername(self) -> bool:
        return self.version >= _SERVERNAME

    @property
    def knows_version_bounds(self) -> bool:
        """`protocols` may be `>=TLSv1.2`."""
        return self.version >= _VERSION_BOUNDS

    @property
    def knows_policy_attributes(self) -> bool:
        """`policy_type` and what goes with it; values with spaces stand in braces."""
        return self.version >= _POLICY_ATTRIBUTES

    @property
    def enforces_mx_patterns(self) -> bool:
        """It leaves hosts out that no `mx_host_pattern` lists, and proves each by its own name."""
        return self.version >= _MX_PATTERNS_ENFORCED
