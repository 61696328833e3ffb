"""What can be tried with the demo's nodes while they stay up."""

from letterlock.demo.commands import format_command
from letterlock.demo.screen import Screen
from letterlock.demo.setting import ALICE, BOB, WRITER
from letterlock.demo.stage import Stage


def invite(screen: Screen, stage: Stage) -> None:
    """Tell what to type, in another terminal."""
    server = stage.sender.config.receive.listen[0]
    config = stage.sender.config_file
    swaks = f"swaks --server {server} --tls --from {WRITER}"
    screen.leave_line()
    screen.say("Both nodes stay up until Ctrl-C. In another terminal:")
    screen.offer(
        "hand in a message for either mailbox, or type one",
        f"{swaks} --to {ALICE}",
        f"{swaks} --to {BOB}",
        f"nc {server.host} {server.port}",
    )
    screen.offer("look into the mailbox", f"ls {stage.receiver.mailbox(ALICE) / 'new'}")
    screen.offer(
        "see what waits, and try it again",
        format_command("queue", "list", "--config", config),
        format_command("queue", "retry", "--all", "--config", config),
    )
    screen.offer("see the node on one screen", format_command("status", "--config", config))
    screen.offer(
        "follow the mail logs", f"tail -f {stage.sender.mail_log} {stage.receiver.mail_log}"
    )
