"""Receiving beside Postfix: 4 KiB messages, each synced to disk before its 250, delivery held."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from benchmarks.comparison import Contest, Sample, Stage, stage, take_sample
from benchmarks.postfix import postfix
from benchmarks.programs import Load
from benchmarks.servers import Server, Work, letterlock

WARM_UP_MESSAGES = 200
HANDSHAKES = "TLS handshakes alone"


def main() -> None:
    with stage("receiving", messages=3000) as found:
        count = found.options.messages
        clear, tls = Load(count), Load(count // 2, has_tls=True)
        for title, load in {
            "receive in clear": clear,
            "receive in clear, 200 sessions": replace(clear, sessions=200),
            "receive, each over new TLS": tls,
            "receive over TLS, 10 a session": Load(count, has_tls=True, per_session=10),
            HANDSHAKES: Load(count // 2, is_handshake_only=True),
        }.items():
            if found.wants(title):
                _compare(found, title, load)


def _compare(found: Stage, title: str, load: Load) -> None:
    work = Work(certificate=found.certificate)
    folder = found.programs.folder / title.replace(" ", "-")
    contest = Contest(title)
    with ExitStack() as stack:
        servers = [stack.enter_context(postfix(folder / "postfix", work))] * found.has_postfix
        if title == HANDSHAKES:
            # What OpenSSL costs in a server that does next to nothing else.
            sink = stack.enter_context(found.programs.sink(found.certificate))
            servers.append(Server("C sink", sink.port, sink.pid))
        servers.append(stack.enter_context(letterlock(folder / "letterlock", work)))
        for server in servers:
            found.programs.send(replace(load, messages=WARM_UP_MESSAGES), server.port)
        turns = {server.name: partial(_receive, found, load, server) for server in servers}
        contest.measure(found.options.rounds, turns)
    for line in contest.lines():
        print(line, flush=True)


def _receive(found: Stage, load: Load, server: Server) -> Sample:
    return take_sample(server, load.messages, partial(found.programs.send, load, server.port))


if __name__ == "__main__":
    main()
