"""What can be committed to the authority's store."""

import dataclasses
import typing

from letterlock.storage.ca import changes


def test_each_change_is_one_that_engines_must_know() -> None:
    defined = {
        each
        for each in vars(changes).values()
        if dataclasses.is_dataclass(each) and each.__module__ == changes.__name__
    }
    assert defined == set(typing.get_args(changes.Change))
