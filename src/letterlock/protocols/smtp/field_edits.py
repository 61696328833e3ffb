"""What a filter may want done to a header section, as values.

They are meant in the order in which they stand, each on what the one before left. Our own Received
field is not there: it is put on top afterwards, and no filter can touch it. `header_edits` carries
them out. RFC 5322 §2.2.
"""

from msgspec import Struct


class InsertField(Struct, frozen=True):
    """Put a field where `above` fields stay above it: 0 is the top; too many is the bottom.

    `name` is an ASCII field name. `value` is all that stands behind the colon, with the space that
    it begins with, if any; its lines are parted by CRLF, and it has none at its end.
    """

    above: int
    name: str
    value: bytes


class AppendField(Struct, frozen=True):
    """Put a field at the bottom; `name` and `value` as in `InsertField`."""

    name: str
    value: bytes


class ChangeField(Struct, frozen=True):
    """Give another value to the field that is the `number`th of its name, from 1, from the top.

    Upper and lower case of names don't matter, and the name in the header stays as it was. Where
    there are fewer, the field is put at the bottom. `number` 0 counts as 1.
    """

    name: str
    number: int
    value: bytes


class DeleteField(Struct, frozen=True):
    """Take out the field that is the `number`th of its name, from 1; below 0 from the bottom.

    None: all of that name. Where there is none, nothing happens. `number` 0 counts as 1.
    """

    name: str
    number: int | None = None


FieldEdit = InsertField | AppendField | ChangeField | DeleteField
