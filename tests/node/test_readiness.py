"""What children tell their parent: that they greet clients."""

import os
import signal

from letterlock.node.readiness import SIGNAL, Readiness


def test_children_are_known_by_their_process_and_the_parent_is_woken() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    try:
        readiness = Readiness()
        assert readiness.take() == []
        children = []
        for _ in range(3):
            if (child := os.fork()) == 0:
                readiness.tell()
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        received = signal.sigtimedwait({SIGNAL}, 20)
        assert received is not None, "no signal"
        assert sorted(readiness.take()) == sorted(children)
        assert readiness.take() == []
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
