"""libunbound in this process: its own limits. What it answers is in tests/dnssec_lab."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop

from letterlock.base.config.choices import DnsBackend
from letterlock.base.config.outbound import DnsSection
from letterlock.base.config.values import ResolverAddress
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.network import libunbound
from letterlock.network.dns import StubResolver
from letterlock.network.dns_backends import make_backend
from letterlock.network.libunbound import LibunboundResolver
from letterlock.protocols.dns.answers import Existence, Security
from tests.dnssec_lab.fault_proxy import Fault
from tests.dnssec_lab.lab import DnssecLab, require_libunbound
from tests.programs import command_environment

SECURE = Domain("secure.example")


@pytest.fixture(autouse=True)
def _library() -> None:
    require_libunbound()


def make(lab: DnssecLab, seconds: float = 20) -> LibunboundResolver:
    return LibunboundResolver(
        lab.trust_anchor, forward=lab.authority, timeout=timedelta(seconds=seconds)
    )


async def test_many_questions_at_a_time_are_answered_each(dnssec_lab: DnssecLab) -> None:
    resolver = make(dnssec_lab)
    names = [Domain(f"n{number}.secure.example") for number in range(300)]
    answers = await asyncio.gather(*(resolver.ask(name, "A") for name in names))
    resolver.close()
    assert [answer.name for answer in answers] == names
    assert {(answer.security, answer.existence) for answer in answers} == {
        (Security.SECURE, Existence.NXDOMAIN)
    }


def test_uvloop_does_as_well(dnssec_lab: DnssecLab) -> None:
    async def ask() -> Security:
        resolver = make(dnssec_lab)
        answer = await resolver.ask(SECURE, "MX")
        resolver.close()
        return answer.security

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) is Security.SECURE


async def test_a_question_given_up_harms_no_other(dnssec_lab: DnssecLab) -> None:
    resolver = make(dnssec_lab)
    with dnssec_lab.failing("mx1.secure.example", "A", Fault.DROP):
        proxy = dnssec_lab.proxy
        seen = len(proxy.questions)
        lost = asyncio.ensure_future(resolver.ask(Domain("mx1.secure.example"), "A"))
        assert await asyncio.to_thread(proxy.wait_until_asked, "mx1.secure.example", "A", seen)
        lost.cancel()
        await asyncio.wait([lost])
        answer = await resolver.ask(SECURE, "MX")
    resolver.close()
    assert answer.security is Security.SECURE


async def test_it_can_be_closed_before_it_was_asked_and_asked_again_after(
    dnssec_lab: DnssecLab,
) -> None:
    resolver = make(dnssec_lab)
    resolver.close()
    first = await resolver.ask(SECURE, "MX")
    resolver.close()
    second = await resolver.ask(SECURE, "MX")
    resolver.close()
    assert first.security is second.security is Security.SECURE


async def test_an_anchor_that_is_none_is_a_failed_lookup(
    dnssec_lab: DnssecLab, tmp_path: Path
) -> None:
    """What DNSSEC rests on is missing: no answer may be taken, neither secure nor insecure."""
    anchor = tmp_path / "root.key"
    anchor.write_text("this is no record\n")
    resolver = LibunboundResolver(anchor, forward=dnssec_lab.authority)
    answer = await resolver.ask(SECURE, "MX")
    resolver.close()
    assert answer.security is Security.FAILED
    assert "cannot be used" in answer.reason


async def test_an_anchor_of_another_root_makes_all_bogus(
    dnssec_lab: DnssecLab, tmp_path: Path
) -> None:
    anchor = tmp_path / "root.key"
    words = dnssec_lab.trust_anchor.read_text().split()
    anchor.write_text(" ".join([*words[:-1], "00" * 32]))
    resolver = LibunboundResolver(anchor, forward=dnssec_lab.authority)
    answer = await resolver.ask(SECURE, "MX")
    resolver.close()
    assert answer.security is Security.BOGUS


def test_a_missing_library_or_anchor_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = tmp_path / "root.key"
    with pytest.raises(LocalError, match=r"^dns.trust_anchor: .* is no file"):
        LibunboundResolver(anchor)
    anchor.touch()
    with pytest.raises(LocalError, match=r"^dns.backend: .* install libunbound8"):
        LibunboundResolver(anchor, library="libunbound.so.0")
    monkeypatch.setattr(libunbound, "ANCHOR_FILES", (tmp_path / "none",))
    with pytest.raises(LocalError, match="install dns-root-data"):
        LibunboundResolver()
    monkeypatch.setattr(libunbound, "ANCHOR_FILES", (tmp_path / "none", anchor))
    assert LibunboundResolver().address.startswith("libunbound 1.")
    assert str(LibunboundResolver(forward=("::1", 53))).endswith(" by way of [::1]:53")


async def test_the_configuration_chooses(dnssec_lab: DnssecLab) -> None:
    assert isinstance(make_backend(DnsSection(), _Still()), StubResolver)
    section = DnsSection(
        DnsBackend.LIBUNBOUND,
        resolver=ResolverAddress(*dnssec_lab.authority),
        trust_anchor=dnssec_lab.trust_anchor,
    )
    resolver = make_backend(section, _Still())
    assert isinstance(resolver, LibunboundResolver)
    host, port = dnssec_lab.authority
    assert resolver.address.endswith(f" by way of {host}:{port}")
    assert resolver.is_trusted
    assert (await resolver.ask(SECURE, "MX")).security is Security.SECURE
    resolver.close()


class _Still:
    def getrandbits(self, k: int, /) -> int:
        del k
        return 1


_RESTRICTED = """
import asyncio, ctypes, errno, mmap, sys
from pathlib import Path
from letterlock.base.domains import Domain
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE
    sys.exit(77)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    sys.exit("not restricted")
except PermissionError:
    pass
from letterlock.network.libunbound import LibunboundResolver
async def ask():
    resolver = LibunboundResolver(Path(sys.argv[1]), forward=(sys.argv[2], int(sys.argv[3])))
    answer = await resolver.ask(Domain("secure.example"), "MX")
    resolver.close()
    return answer.security
print(asyncio.run(ask()))
"""


def test_it_works_where_memory_is_never_writable_and_executable(dnssec_lab: DnssecLab) -> None:
    """As with systemd's MemoryDenyWriteExecute."""
    host, port = dnssec_lab.authority
    done = subprocess.run(
        [sys.executable, "-c", _RESTRICTED, str(dnssec_lab.trust_anchor), host, str(port)],
        env=command_environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == 77:
        pytest.skip("this kernel cannot restrict memory so (before Linux 6.3)")
    assert (done.stdout, done.stderr) == ("secure\n", "")
