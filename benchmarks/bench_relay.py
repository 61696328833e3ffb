"""Relaying beside Postfix: 4 KiB messages received, queued durably, sent on to a sink.

With DKIM, Postfix has OpenDKIM as its milter, and both sign with the same RSA key of 2048 bits; as
shipped we make an Ed25519 signature besides, which OpenDKIM cannot. That what arrives is signed is
looked at before anything is measured.
"""

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from benchmarks import opendkim
from benchmarks.comparison import Contest, Sample, Stage, stage
from benchmarks.opendkim import DkimKey, require_signatures
from benchmarks.postfix import postfix
from benchmarks.programs import Load, Sink
from benchmarks.servers import Server, Work, letterlock

WARM_UP_MESSAGES = 200
SETTLE_SECONDS = 0.5
"""Until what a server does after the last message is done, and counted as its CPU."""


def main() -> None:
    with stage("relaying", messages=2000) as found:
        count = found.options.messages
        for title, load in {
            "relay in clear": Load(count),
            "relay, TLS in and out": Load(count // 2, has_tls=True),
            "relay, TLS both, 10 a session": Load(count, has_tls=True, per_session=10),
        }.items():
            if found.wants(title):
                work = Work(certificate=found.certificate if load.has_tls else None)
                _compare(found, title, load, work)
        if (reason := opendkim.why_not()) is not None:
            print(f"without DKIM: {reason}")
            return
        key = opendkim.write_key(found.programs.folder)
        for title, algorithms in {
            "relay in clear, DKIM RSA": ("rsa",),
            "relay in clear, DKIM both": (),
        }.items():
            if found.wants(title):
                work = Work(dkim_key=key.path, dkim_algorithms=algorithms)
                _compare(found, title, Load(count), work, key)


def _compare(found: Stage, title: str, load: Load, work: Work, key: DkimKey | None = None) -> None:
    """Let both do a work, whose sink is made here; with `key`, what they send must be signed."""
    folder = found.programs.folder / title.replace(" ", "-")
    contest = Contest(title)
    with ExitStack() as stack:
        sink = stack.enter_context(found.programs.sink(work.certificate))
        work = replace(work, sink_port=sink.port)
        servers = [stack.enter_context(postfix(folder / "postfix", work))] * found.has_postfix
        servers.append(stack.enter_context(letterlock(folder / "letterlock", work)))
        for server in servers:
            sink.keep_next()
            _relay(found, replace(load, messages=WARM_UP_MESSAGES), server, sink)
            if key is not None:
                require_signatures(sink.read_kept(), key.record)
        turns = {server.name: partial(_relay, found, load, server, sink) for server in servers}
        contest.measure(found.options.rounds, turns)
    for line in contest.lines():
        print(line, flush=True)


def _relay(found: Stage, load: Load, server: Server, sink: Sink) -> Sample:
    """Rate: messages over the time from the first connection to the last message's arrival."""
    arrived = sink.counts().messages
    before = server.cpu_seconds()
    result = found.programs.send(load, server.port)
    last = sink.wait_for(arrived + load.messages).last
    time.sleep(SETTLE_SECONDS)
    cpu = server.cpu_seconds() - before
    rate = load.messages / (last - result.start)
    return Sample(rate, cpu / load.messages, result.p50_ms, result.p99_ms)


if __name__ == "__main__":
    main()
