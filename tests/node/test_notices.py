"""Lines that one process writes and others read."""

import os

from letterlock.node.notices import PAGE_OCTETS, SharedNotices


def test_a_child_reads_what_its_parent_writes_later() -> None:
    notices = SharedNotices()
    reader, writer = os.pipe()
    go, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go, 1)
        os.write(writer, "|".join(notices.get()).encode())
        os._exit(0)
    notices.set(("reload: a.toml:1: wrong", "zwei: für später"))
    os.write(tell, b"x")
    assert os.read(reader, 1000).decode() == "reload: a.toml:1: wrong|zwei: für später"
    os.waitpid(child, 0)
    for descriptor in (reader, writer, go, tell):
        os.close(descriptor)


def test_what_is_too_long_is_cut() -> None:
    notices = SharedNotices()
    notices.set(("ä" * PAGE_OCTETS, "second"))
    (only,) = notices.get()
    assert only.startswith("äää")
    notices.set(())
    assert notices.get() == ()
