"""What `[dkim]` describes: who signs, with which keys, and what is published of them."""

from letterlock.base.clock import Clock
from letterlock.base.config.dkim import DkimAlgorithm
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.log import Log
from letterlock.protocols.dkim.signature import Algorithm
from letterlock.services.publish.records import DkimKey
from letterlock.services.sign.keyring import Keyring
from letterlock.services.sign.keys import KeyPlan, load_keys
from letterlock.services.sign.making import KeyMaker
from letterlock.services.sign.signer import Signer
from letterlock.storage.dkim_keys import DkimKeyFiles

_ALGORITHMS = {
    DkimAlgorithm.RSA: Algorithm.RSA_SHA256,
    DkimAlgorithm.ED25519: Algorithm.ED25519_SHA256,
}


def make_key_plan(config: Config) -> KeyPlan:
    """Say which keys there have to be."""
    section = config.dkim
    return KeyPlan(
        section.domains or config.domains,
        section.find_selector(config.hostname),
        section.next_selector,
        tuple(_ALGORITHMS[each] for each in section.algorithms),
    )


def make_signer(config: Config, clock: Clock, log: Log) -> Signer | None:
    """Make what signs mail; None: nothing does."""
    if not config.dkim.enabled:
        return None
    files = DkimKeyFiles(config.dkim.key_dir)
    keyring = Keyring(make_key_plan(config), files, clock, log)
    return Signer(keyring, clock, config.dkim.lifetime or None)


def make_key_maker(config: Config, log: Log) -> KeyMaker | None:
    """Make what makes missing keys; None where nothing is signed."""
    if not config.dkim.enabled:
        return None
    return KeyMaker(make_key_plan(config), DkimKeyFiles(config.dkim.key_dir), log)


def find_dkim_keys(config: Config, domain: Domain) -> tuple[tuple[DkimKey, ...], tuple[str, ...]]:
    """Give what a domain publishes of the keys that are there; and notes on those of no use."""
    plan, files = make_key_plan(config), DkimKeyFiles(config.dkim.key_dir)
    if not config.dkim.enabled or domain not in plan.domains:
        return (), ()
    found: list[DkimKey] = []
    notes: list[str] = []
    for wanted, is_next in ((plan.list_current(domain), False), (plan.list_next(domain), True)):
        for which in wanted:
            try:
                keys = load_keys(files, (which,))
            except LocalError as error:
                notes.append(f"DKIM: a key cannot be used: {error}")
                continue
            found += [DkimKey(key.selector, key.record, is_next) for key in keys]
    return tuple(found), tuple(notes)
