"""What can be committed to the authority's store."""

import dataclasses
import typing

from letterlock.storage.ca import audits, changes, external_keys, incidents
from letterlock.storage.ca.scripts.committing import SCRIPTS

VERBS = ("Add", "Change", "End", "Put", "Prolong", "Block", "Use", "Remove", "Mark")


def test_each_change_is_one_that_engines_must_know() -> None:
    defined = {
        each
        for module in (changes, incidents, audits, external_keys)
        for each in vars(module).values()
        if dataclasses.is_dataclass(each)
        and isinstance(each, type)
        and each.__module__ == module.__name__
        and each.__name__.startswith(VERBS)
    }
    assert defined == set(typing.get_args(changes.Change)) == SCRIPTS.keys()
