"""The steps of the demo: each lets something happen, shows it, and claims what must be so."""

from itertools import dropwhile
from random import SystemRandom

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.demo.asking import ask_in_vain
from letterlock.demo.commands import format_command, run_command
from letterlock.demo.facts import Attempt, find_last_hop
from letterlock.demo.screen import Screen
from letterlock.demo.setting import (
    ALICE,
    BOB,
    BROKEN_DOMAIN,
    CAROL,
    DAVE,
    ERIN,
    LISTED_DOMAIN,
    LISTED_HOST,
    OTHER_AUTHORITY,
    RIGHT_HOST,
    SIGNED_DOMAIN,
    SIGNED_HOST,
    UNLISTED_DOMAIN,
    WRONG_HOST,
)
from letterlock.demo.stage import Stage
from letterlock.demo.telling import (
    CannotGoOn,
    claim_in_mailbox,
    claim_sent_after,
    claim_waits,
    hand_in,
    tell_judgement,
    tell_lookups,
)
from letterlock.network.dns_backends import make_backend
from letterlock.network.https import HOST_LABEL
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.mta_sts.policy import MtaStsMode
from letterlock.protocols.policy.requirement import Level, Source
from letterlock.protocols.policy.verdict import Outcome
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover.resolver_check import SelfTest, check_resolver
from letterlock.storage.queue import MessageStory


async def show_stage(screen: Screen, stage: Stage) -> None:
    """Tell what was set up."""
    root = stage.authority.root
    receiver, sender = stage.receiver.config, stage.sender.config
    levels = ", ".join(f"{key} {hop.fields['level']}" for key, hop in sender.policy.hops.items())
    screen.begin_step("The stage, all of it made a moment ago")
    screen.tell("authority", f"{root.subject.rfc4514_string()}; no other is trusted")
    screen.tell(
        "resolver",
        f"{stage.resolver}, with DNSSEC: {SIGNED_DOMAIN} is secure, {BROKEN_DOMAIN} bogus, all "
        "else insecure, as it is not signed",
    )
    screen.tell("policy host", f"https://{stage.policy_host}, for MTA-STS")
    screen.tell(
        "receiver",
        f"{receiver.hostname} on {' and '.join(map(str, receiver.receive.listen))}",
    )
    screen.tell(
        "sender",
        f"{sender.hostname} on {sender.receive.listen[0]}",
        f"its policy table says: {levels}",
    )
    resolver = await check_resolver(
        make_backend(sender.dns, SystemRandom()), Domain(SIGNED_DOMAIN), Domain(BROKEN_DOMAIN)
    )
    screen.claim(
        f"the resolver vouches for {SIGNED_DOMAIN}, and gives nothing of {BROKEN_DOMAIN}, whose "
        "signatures are wrong",
        holds=resolver.self_test is SelfTest.PASSED,
    )


async def show_certificates(screen: Screen, stage: Stage, clock: Clock) -> None:
    """Show how the receiver came to its certificates, and what it cannot have."""
    screen.begin_step("The receiver's certificates, by ACME: who may have one for a name?")
    screen.explain(
        "Who controls the name: the authority fetches a file from its host (http-01). And whom the "
        "name's owner lets issue: it asks DNS for CAA records, for each name by itself."
    )
    issued = await stage.authority.list_issued(clock)
    proved = {name.identifier.value: name for each in issued for name in each.names}
    looks = {name: each.check for name, each in proved.items() if each.check is not None}
    told = [
        f"{name}, by {look.issuance.method}; CAA: {look.decision}"
        for name in stage.wanted
        if (look := looks.get(name)) is not None
    ]
    screen.tell("issued for", *told)
    screen.claim(
        f"{len(issued)} certificates, {len(proved)} names, {len(looks)} looks at CAA: one for each "
        "name",
        holds=set(proved) == set(stage.wanted)
        and all(look.issuance.name == name for name, look in looks.items())
        and len(issued) == len(proved) == len(looks),
    )
    if WRONG_HOST not in stage.wanted:
        refusal = await ask_in_vain(stage, WRONG_HOST, clock)
        screen.tell("refused", refusal or f"{WRONG_HOST} was certified")
        screen.claim(
            f"none for {WRONG_HOST}, by whoever controls it: its owner wants another authority",
            holds=refusal is not None and OTHER_AUTHORITY in refusal,
        )


async def show_table(screen: Screen, stage: Stage, clock: Clock) -> MessageStory:
    """Show a message go to a host that proves its name, and into the mailbox there."""
    screen.begin_step(f"To {ALICE}: the sender's own table wants the name proved")
    screen.explain(
        "Level verify: TLS, a certificate of a trusted authority, and in it the MX host's name. "
        "It is looked at before the sender says who writes to whom."
    )
    story = await hand_in(screen, stage, ALICE, clock)
    attempt = Attempt(story.attempts[0])
    tell_lookups(screen, stage.sender)
    tell_judgement(screen, attempt)
    screen.claim(
        f"the level was {Level.VERIFY}, and the host proved to be {RIGHT_HOST}",
        holds=attempt.requirement.get("level") == Level.VERIFY
        and attempt.verdict.get("outcome") == Outcome.AUTHENTICATED
        and RIGHT_HOST in attempt.leaf.get("names", ()),
    )
    said = attempt.said_from_mail or ["nothing was sent"]
    screen.tell("then", *dict.fromkeys((said[0], "...", said[-1])))
    claim_sent_after(screen, attempt)
    trace = await claim_in_mailbox(screen, stage, story)
    screen.tell("its trace", find_last_hop(trace))
    return story


async def show_wrong_name(screen: Screen, stage: Stage, clock: Clock) -> MessageStory:
    """Show a message that stays here, as the host it is for did not prove its name."""
    screen.begin_step(f"To {BOB}: the same, but the certificate has another name")
    screen.explain(
        "It is the same receiver, and would take the mail. So would anybody in between: a host "
        "that can't prove its name gets nothing."
    )
    messages = stage.receiver.count("messages")
    story = await hand_in(screen, stage, BOB, clock)
    attempt = Attempt(story.attempts[0])
    tell_lookups(screen, stage.sender)
    tell_judgement(screen, attempt)
    screen.claim(
        f"it is not {WRONG_HOST}: a {ResultType.CERTIFICATE_HOST_MISMATCH}",
        holds=attempt.verdict.get("outcome") == Outcome.DEFER
        and attempt.verdict.get("result_type") == ResultType.CERTIFICATE_HOST_MISMATCH,
    )
    screen.claim(
        "no MAIL was said", holds=attempt.is_judged_before_mail and not attempt.said_from_mail
    )
    claim_waits(screen, stage, story, messages_before=messages)
    return story


async def show_dane(screen: Screen, stage: Stage, clock: Clock) -> MessageStory:
    """Show a message go to a host that has the key that DNS names."""
    screen.begin_step(f"To {CAROL}: DANE, where DNS itself names the host's key")
    screen.explain(
        "Nothing is in the table. But the zone is signed, and a TLSA record in it names the key. "
        "The certificate signs itself: no authority is needed."
    )
    story = await hand_in(screen, stage, CAROL, clock)
    attempt = Attempt(story.attempts[0])
    answers = stage.sender.lookups.answers
    tell_lookups(screen, stage.sender)
    tell_judgement(screen, attempt)
    states = {each.security for each in answers if each.rdtype in ("MX", "A", "TLSA")}
    screen.claim(
        "DANE decided: DNSSEC vouches for MX, address and TLSA records",
        holds=states == {Security.SECURE} and attempt.requirement.get("source") == Source.DANE,
    )
    screen.claim(
        f"{SIGNED_HOST} has the key of its TLSA record",
        holds=attempt.verdict.get("outcome") == Outcome.AUTHENTICATED
        and attempt.verdict.get("tlsa") is not None,
    )
    claim_sent_after(screen, attempt)
    await claim_in_mailbox(screen, stage, story)
    return story


async def show_mta_sts(screen: Screen, stage: Stage, clock: Clock) -> MessageStory:
    """Show a message go to a host that the domain's policy lists."""
    screen.begin_step(f"To {DAVE}: MTA-STS, where the domain tells by HTTPS")
    screen.explain(
        "The domain has a policy on a web server of its own: which hosts take its mail, and that "
        "each must prove its name."
    )
    story = await hand_in(screen, stage, DAVE, clock)
    attempt = Attempt(story.attempts[0])
    tell_lookups(screen, stage.sender)
    await _show_policy(screen, stage, LISTED_DOMAIN)
    tell_judgement(screen, attempt)
    screen.claim(
        f"the policy decided: {LISTED_HOST} is listed, and proved",
        holds=attempt.requirement.get("source") == Source.MTA_STS
        and attempt.requirement.get("level") == Level.VERIFY
        and attempt.verdict.get("outcome") == Outcome.AUTHENTICATED
        and attempt.verdict.get("matched_name") == LISTED_HOST,
    )
    claim_sent_after(screen, attempt)
    await claim_in_mailbox(screen, stage, story)
    return story


async def show_unlisted(screen: Screen, stage: Stage, clock: Clock) -> MessageStory:
    """Show a message that stays here, as the policy does not list the host of the MX record."""
    screen.begin_step(f"To {ERIN}: MTA-STS, and an MX host that is not in the policy")
    screen.explain(
        f"The MX record says {RIGHT_HOST}, a host that can prove its name. But so could the host "
        "of whoever forged that record: the policy counts."
    )
    messages = stage.receiver.count("messages")
    story = await hand_in(screen, stage, ERIN, clock)
    attempt = Attempt(story.attempts[0])
    tell_lookups(screen, stage.sender)
    await _show_policy(screen, stage, UNLISTED_DOMAIN)
    await _quote_attempts(screen, stage, story)
    screen.claim(
        f"{RIGHT_HOST} is not in the policy: no connection, no MAIL",
        holds=f"does not list {RIGHT_HOST}" in attempt.record.summary
        and not attempt.handshake
        and not attempt.dialogue,
    )
    claim_waits(screen, stage, story, messages_before=messages)
    return story


async def claim_nothing_in_clear(screen: Screen, stage: Stage) -> None:
    """Claim it from the receiver's own counters; it may be looking at its own listeners now."""
    is_all_tls = await stage.receiver.wait_until_equal("tls", "connections")
    screen.claim(
        "no connection to the receiver was without TLS",
        holds=is_all_tls,
    )


async def _show_policy(screen: Screen, stage: Stage, domain: str) -> None:
    """Show the policy that the sender keeps."""
    cached = await stage.sender.find_policy(domain)
    if cached is not None:
        policy = cached.policy
        days = policy.max_age.days
        screen.tell("policy", f"mode {policy.mode}, mx {', '.join(policy.mx)}, for {days} days")
    screen.claim(
        f"an enforcing policy came from https://{HOST_LABEL}.{domain}",
        holds=cached is not None and cached.policy.mode is MtaStsMode.ENFORCE,
    )


async def _quote_attempts(screen: Screen, stage: Stage, story: MessageStory) -> None:
    """Quote what the sender's operator reads of a message, from the first attempt on."""
    command = ("queue", "show", story.message.queue_id, "--config", stage.sender.config_file)
    screen.tell("its story", "as the sender's operator reads it:")
    screen.quote([f"$ {format_command(*command)}"])
    code, lines = await run_command(*command)
    if code:
        screen.quote(lines)
        raise CannotGoOn(f"letterlock queue show ended with {code}")
    screen.quote(dropwhile(lambda line: not line.startswith("Attempt "), lines))
