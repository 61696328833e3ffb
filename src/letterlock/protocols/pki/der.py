"""DER, as far as we read or write it by hand: an element's tag, length and content.

X.690 §8.1. For what `cryptography` does not give as it stands; everything else is its business.
"""


def split_elements(octets: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """Split DER into up to `limit` elements, each as a whole and its content.

    Raises ValueError where octets end too early, and for no element at all.
    """
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(octets) and len(found) < limit:
        start = at + 2
        if start > len(octets):
            raise ValueError("DER ends within a length")
        length = octets[at + 1]
        if length & 0x80:
            length_octets = octets[start : start + (length & 0x7F)]
            start += len(length_octets)
            length = int.from_bytes(length_octets)
        end = start + length
        if end > len(octets):
            raise ValueError("DER ends within an element")
        found.append((octets[at:end], octets[start:end]))
        at = end
    if not found:
        raise ValueError("an empty DER element")
    return found


def wrap_element(tag: int, content: bytes) -> bytes:
    """Make an element: the inverse of `split_elements`."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content
