"""What children tell their parent: that they greet clients."""

import os
import signal
import traceback

from letterlock.node.readiness import SIGNAL, Readiness


def test_children_are_known_by_their_process_and_the_parent_is_woken() -> None:
    """In a process of its own: all threads of the parent must have the signal blocked."""
    parent = os.fork()
    if parent == 0:
        try:
            _be_parent()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - told by the exit code
            traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]) == 0


def _be_parent() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
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
    assert signal.sigtimedwait({SIGNAL}, 20) is not None, "no signal"
    assert sorted(readiness.take()) == sorted(children)
    assert readiness.take() == []


def test_one_who_does_not_wait_for_the_signal_is_not_ended_by_it() -> None:
    readiness = Readiness()
    readiness.tell()
    assert readiness.take() == [os.getpid()]
