"""What can be tried with the demo's nodes while they stay up."""

from letterlock.demo.commands import format_command
from letterlock.demo.screen import Screen
from letterlock.demo.setting import CAROL, ERIN, SIGNED_DOMAIN, SIGNED_HOST, UNLISTED_DOMAIN, WRITER
from letterlock.demo.stage import TRUSTED_FILE, Stage
from letterlock.network.https import HOST_LABEL, PATH


def invite(screen: Screen, stage: Stage) -> None:
    """Tell what to type, in another terminal."""
    server = stage.sender.config.receive.listen[0]
    config = stage.sender.config_file
    swaks = f"swaks --server {server} --tls --from {WRITER}"
    screen.leave_line()
    screen.say("Both nodes stay up until Ctrl-C. In another terminal:")
    screen.offer(
        "hand in a message for any of the five, or type one",
        f"{swaks} --to {CAROL}",
        f"{swaks} --to {ERIN}",
        f"nc {server.host} {server.port}",
    )
    screen.offer("look into a mailbox", f"ls {stage.receiver.mailbox(CAROL) / 'new'}")
    resolver, policy_host = stage.resolver, stage.policy_host
    site = f"{HOST_LABEL}.{UNLISTED_DOMAIN}:{policy_host.port}"
    screen.offer(
        "ask for what is published",
        f"dig @{resolver.host} -p {resolver.port} TLSA _{server.port}._tcp.{SIGNED_HOST} +dnssec",
        f"curl --cacert {stage.folder / TRUSTED_FILE} --resolve {site}:{policy_host.host} "
        f"https://{site}{PATH}",
    )
    screen.offer(
        "have it explained: which TLS, and why; then with a handshake",
        format_command("policy", "explain", UNLISTED_DOMAIN, "--config", config),
        format_command("policy", "test", SIGNED_DOMAIN, "--config", config),
    )
    screen.offer(
        "see what waits, and try it again",
        format_command("queue", "list", "--config", config),
        format_command("queue", "retry", "--all", "--config", config),
    )
    authority = stage.authority.config_file
    screen.offer("see what was certified", format_command("ca", "list", "--config", authority))
    screen.offer("see the node on one screen", format_command("status", "--config", config))
    screen.offer(
        "follow the mail logs", f"tail -f {stage.sender.mail_log} {stage.receiver.mail_log}"
    )
