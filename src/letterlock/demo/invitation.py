"""What can be tried with the demo's nodes while they stay up."""

from letterlock.demo.commands import format_command
from letterlock.demo.screen import Screen
from letterlock.demo.setting import ALICE, BOB, WRITER
from letterlock.demo.stage import Stage


def invite(screen: Screen, stage: Stage) -> None:
    """Tell what to type, in another terminal."""
    server = stage.sender.config.receive.listen[0]
    config = stage.sender.config_file
    send = f"swaks --server {server} --tls --from {WRITER} --to"
    screen.leave_line()
    screen.say("Both nodes stay up until Ctrl-C. In another terminal:")
    screen.tell(
        "send", f"{send} {ALICE}", f"{send} {BOB}", f"or by hand: nc {server.host} {server.port}"
    )
    screen.tell("read", f"ls {stage.receiver.mailbox(ALICE) / 'new'}")
    screen.tell(
        "queue",
        format_command("queue", "list", "--config", config),
        format_command("queue", "retry", "--all", "--config", config),
    )
    screen.tell("status", format_command("status", "--config", config))
    screen.tell("mail logs", str(stage.sender.mail_log), str(stage.receiver.mail_log))
