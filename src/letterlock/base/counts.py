"""Numbers of things, as people are told them: one message, two messages."""


def format_count(number: int, one: str, many: str = "") -> str:
    """Give `1 message`, `2 messages`; `many` is what it is called where an s is not all of it."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
