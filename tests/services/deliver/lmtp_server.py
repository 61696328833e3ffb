"""An LMTP server (RFC 2033) that answers as it is told, on TCP or a unix socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.accepting import accepting


@dataclass
class LmtpScript:
    """What it says. Replies by recipient; everything else is taken."""

    greeting: str = "220 store.test LMTP"
    hello: str = "250-store.test\r\n250-PIPELINING\r\n250 8BITMIME"
    at_rcpt: Mapping[str, str] = field(default_factory=dict)
    at_end: Mapping[str, str] = field(default_factory=dict)
    closes_after: int = 100
    """So many replies to the content, then it closes."""
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        taken: list[str] = []

        def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")

        say(self.greeting)
        try:
            while line := await reader.readline():
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                verb, _, rest = command.partition(" ")
                address = rest.partition("<")[2].partition(">")[0]
                match verb:
                    case "LHLO":
                        say(self.hello)
                    case "RCPT":
                        answer = self.at_rcpt.get(address, "250 2.1.5 ok")
                        say(answer)
                        taken += [address] if answer.startswith("2") else []
                    case "DATA":
                        say("354 go on" if taken else "503 5.5.1 nobody")
                        answers = [self.at_end.get(each, "250 2.0.0 saved") for each in taken]
                        if taken:
                            self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                            say("\r\n".join(answers[: self.closes_after]))
                        if self.closes_after < len(taken):
                            break
                    case "QUIT":
                        say("221 2.0.0 bye")
                        break
                    case _:
                        say("250 2.0.0 ok")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def lmtp_at_socket(path: Path, script: LmtpScript) -> AsyncIterator[None]:
    async with accepting(script.talk, path=path):
        yield


@asynccontextmanager
async def lmtp_at_port(script: LmtpScript) -> AsyncIterator[int]:
    """Listen on 127.0.0.1; gives the port."""
    async with accepting(script.talk) as port:
        yield port
