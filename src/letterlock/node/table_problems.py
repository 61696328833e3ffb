"""What is wrong with files of `[maps]` and of accounts at other servers, one line each."""

from letterlock.base.clock import SystemClock
from letterlock.base.config.sections import Config
from letterlock.node.building import build_directory
from letterlock.node.relay_logins import find_login_problems
from letterlock.services.queue.notice_texts import load_notice_texts
from letterlock.services.redirect.tables import TableFiles


def find_table_problems(config: Config) -> list[str]:
    """Read the files as a node does."""
    problems: list[str] = []
    clock = SystemClock()
    problems += find_login_problems(config, clock)
    directory = build_directory(config)
    files = TableFiles(
        config.maps, config.domains, config.hostname, clock, problems.append, directory
    )
    files.current()
    return [*problems, *load_notice_texts(config.bounce.templates).problems]
