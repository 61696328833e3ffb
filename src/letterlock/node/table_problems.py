"""What is wrong with the files of `[maps]`, one line each."""

from letterlock.base.clock import SystemClock
from letterlock.base.config.sections import Config
from letterlock.services.redirect.tables import TableFiles


def find_table_problems(config: Config) -> list[str]:
    """Read the files as a node does."""
    problems: list[str] = []
    clock = SystemClock()
    files = TableFiles(config.maps, config.domains, config.hostname, clock, problems.append)
    files.current()
    return problems
