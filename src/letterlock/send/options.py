"""The options of sendmail(1), as sendmail and Postfix have them, made into what is to be done.

Letters may stand together (`-ti`), a value behind its letter or in the next argument. Options stop
at `--` and at the first argument that is none. What has no meaning here is taken and ignored,
as are letters that nobody knows: programs pass what some mailer once asked for.
"""

from letterlock.send.failures import USAGE, SendError

_WITH_VALUE = frozenset("BCFLNORVXbfhopr")
_WITH_JOINED_VALUE = frozenset("Adeq")
"""A value stands behind these or nowhere: `-q30m`."""
_FLAGS = {"t": "has_header_recipients", "i": "is_dot_text", "v": "is_verbose"}
_TEXTS = {"F": "full_name", "C": "config", "V": "envid"}
_TASKS = {"I": "aliases"}
_DOT_IS_TEXT = {("o", "i"), ("O", "ignoredots"), ("O", "ignoredots=true")}
_MODES = {"m": "send", "s": "smtp", "p": "queue", "i": "aliases", "v": "explain"}
_OTHER_MODES = {
    "d": "a daemon is started by: letterlock serve",
    "D": "a daemon is started by: letterlock serve",
    "t": "there is no test mode",
}
_NOTIFY = frozenset({"success", "failure", "delay"})
_RET = {"full": "FULL", "hdrs": "HDRS"}


class Options:
    """What was asked for.

    `task`: send, smtp, queue, aliases, flush, idle, explain, help or version.
    """

    __slots__ = (
        *("envid", "full_name", "has_header_recipients", "is_dot_text", "is_verbose", "notify"),
        *("config", "recipients", "ret", "sender", "task"),
    )

    def __init__(self) -> None:
        self.task = "send"
        self.recipients: tuple[str, ...] = ()
        self.sender: str | None = None
        self.full_name: str | None = None
        self.has_header_recipients = False
        self.is_dot_text = False
        self.is_verbose = False
        self.notify: str | None = None
        self.ret: str | None = None
        self.envid: str | None = None
        self.config: str | None = None


def parse_options(name: str, arguments: list[str]) -> Options:
    """Read a command line; `name` is that of the program. Raises SendError."""
    options = Options()
    options.task = {"mailq": "queue", "newaliases": "aliases"}.get(name, "send")
    if arguments in (["-h"], ["--help"]):
        options.task = "help"
        return options
    rest = list(arguments)
    while rest and len(rest[0]) > 1 and rest[0][0] == "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            _take_long(options, word, rest)
        else:
            _take_letters(options, word[1:], rest)
    options.recipients = tuple(rest)
    return options


def _take_long(options: Options, word: str, rest: list[str]) -> None:
    name, joined, value = word.partition("=")
    if name == "--version":
        options.task = "version"
    elif name == "--config":
        options.config = value if joined else _next(name, rest)
    else:
        raise SendError(USAGE, f"no such option: {name} (see letterlock send --help)")


def _take_letters(options: Options, letters: str, rest: list[str]) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _WITH_JOINED_VALUE:
            _take(options, letter, letters)
            return
        if letter in _WITH_VALUE:
            _take(options, letter, letters or _next(f"-{letter}", rest))
            return
        _take(options, letter, "")


def _next(name: str, rest: list[str]) -> str:
    if not rest:
        raise SendError(USAGE, f"{name}: its value is missing")
    return rest.pop(0)


def _take(options: Options, letter: str, value: str) -> None:
    if letter in _FLAGS:
        setattr(options, _FLAGS[letter], True)
    elif letter in _TEXTS:
        setattr(options, _TEXTS[letter], value)
    elif letter in _TASKS:
        options.task = _TASKS[letter]
    elif (letter, value.lower()) in _DOT_IS_TEXT:
        options.is_dot_text = True
    elif letter in "fr":
        options.sender = _strip(value)
    elif letter == "q":
        # `-q30m` is for a daemon, and ours runs.
        options.task = "flush" if not value else "idle"
    elif letter == "b":
        options.task = _find_task(value)
    else:
        _take_delivery_option(options, letter, value)


def _take_delivery_option(options: Options, letter: str, value: str) -> None:
    """Take what goes with the envelope (RFC 3461 §4), and leave what means nothing here."""
    match letter:
        case "N":
            options.notify = _parse_notify(value)
        case "R":
            if value.lower() not in _RET:
                raise SendError(USAGE, f"-R takes full or hdrs, not {value[:40]!r}")
            options.ret = _RET[value.lower()]
        case "B":
            if value.upper() not in {"7BIT", "8BITMIME"}:
                raise SendError(USAGE, f"-B takes 7BIT or 8BITMIME, not {value[:40]!r}")
        case _:
            return


def _find_task(mode: str) -> str:
    if mode in _MODES:
        return _MODES[mode]
    reason = _OTHER_MODES.get(mode, "there is no such mode")
    raise SendError(USAGE, f"-b{mode[:20]}: {reason}")


def _parse_notify(value: str) -> str:
    words = value.lower().split(",")
    if words != ["never"] and not (_NOTIFY.issuperset(words)):
        text = "-N takes never, or a list of success, failure and delay"
        raise SendError(USAGE, f"{text}, not {value[:40]!r}")
    return ",".join(word.upper() for word in words)


def _strip(address: str) -> str:
    """Take the angle brackets away; `<>` is the null sender, as "" is."""
    text = address.strip()
    return text[1:-1] if text[:1] == "<" and text[-1:] == ">" else text
