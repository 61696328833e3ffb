"""`letterlock-sendmail` and `letterlock send`: what sendmail(1) does.

Nothing is sent here, and nothing asked of the node, which may be down: the message is dropped where
the node finds it (`dropping`). What it lacks, the node adds.
"""

import os
import sys

from letterlock.send.dropping import Drop, DropPlace
from letterlock.send.failures import (
    DATA_ERROR,
    OS_ERROR,
    UNAVAILABLE,
    USAGE,
    SendError,
)
from letterlock.send.input_text import StandardInput
from letterlock.send.options import Options, parse_options
from letterlock.send.place import SYSTEM_CONFIG, find_drop_dir
from letterlock.storage.drop import DropEnvelope, DropError, format_envelope

MAX_ADDRESS_OCTETS = 254
"""RFC 5321 §4.5.3.1.3, without the angle brackets."""
INTERRUPTED = 130
HELP = """\
Usage: letterlock send [OPTIONS] [--] [ADDRESS...] < MESSAGE
       letterlock send -bp | -bi | -q | -bs | -bv ADDRESS

Hands in a message as sendmail(1) does, whether the node runs or not. letterlock-sendmail is the
same program under a name of its own.

  -t             the recipients are those of To, Cc and Bcc, and the addresses named
  -f, -r SENDER  who bounces go to; '' or '<>' for nobody. Default: the user, at this host
  -F NAME        full name of the sender, for a From field that is missing
  -i, -oi        a line with a dot alone does not end the message
  -N WHEN        notify of: never, or a list of success, failure and delay
  -R full|hdrs   how much comes back with a notification of failure
  -V ENVID       comes back with notifications
  -C, --config FILE  a configuration instead of /etc/letterlock/letterlock.toml, read with the
                 rights of the caller
  -v             say on standard error when the message was taken
  -bp            list the queue, or what waits of your own mail    (mailq)
  -bi, -I        nothing: tables are read when they change (newaliases)
  -q             as root: try all that waits now; else nothing: the queue is always at work
  -bs            speak SMTP on standard input and output
  -bv ADDRESS    tell what would become of mail for it  (letterlock policy explain)

Other options of sendmail are taken and ignored. Exit codes are those of sysexits.h.
"""
_PLAIN = frozenset(
    "!#$%&'*+-./0123456789=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz{|}~"
)


def main(arguments: list[str] | None = None) -> int:
    """Run it; gives the exit code, of sysexits.h."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - no time for pathlib
    try:
        return _run(parse_options(name, sys.argv[1:] if arguments is None else arguments))
    except SendError as error:
        _say(str(error))
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        _say(f"{error.filename or 'the system'}: {error.strerror}")
        return OS_ERROR


def _run(options: Options) -> int:
    match options.task:
        case "help":
            sys.stdout.write(HELP)
        case "version":
            from letterlock import __version__  # noqa: PLC0415 - nobody asks when sending

            sys.stdout.write(f"letterlock {__version__}\n")
        case "queue":
            _list_queue(options)
        case "aliases":
            _say("nothing to do: the node reads tables when they change")
        case "idle":
            _say("nothing to do: the queue is always at work")
        case "flush":
            _flush(options)
        case "explain":
            _explain(options)
        case "smtp":
            from letterlock.send.dialogue import speak  # noqa: PLC0415 - loads far more

            return speak(DropPlace(find_drop_dir(options.config)))
        case _:
            _send(options)
    return 0


def _list_queue(options: Options) -> None:
    """Become `letterlock queue list`, which reads the stores; else ask the node for one's own."""
    drop_dir = find_drop_dir(options.config)
    try:
        is_own = os.geteuid() not in {0, os.stat(drop_dir).st_uid}  # noqa: PTH116 - no time for it
    except OSError:
        is_own = False
    if not is_own:
        _become(options, "queue", "list")
    from letterlock.send.own_queue import show_own_queue  # noqa: PLC0415 - loads far more

    show_own_queue(drop_dir)


def _flush(options: Options) -> None:
    """Try all mail now, for root; the others' is tried in its time."""
    if os.geteuid() == 0 and (options.config or os.path.lexists(SYSTEM_CONFIG)):
        _become(options, "queue", "retry", "--all")
    _say("nothing to do: the queue is always at work (root can have it tried now)")


def _explain(options: Options) -> None:
    if len(options.recipients) != 1:
        raise SendError(USAGE, "-bv takes one address")
    _become(options, "policy", "explain", "--", options.recipients[0])


def _become(options: Options, *command: str) -> None:
    """Go on as a command of `letterlock`."""
    words = ["-m", "letterlock", *command[:2]]
    if options.config is not None:
        words += ["--config", options.config]
    elif not os.path.lexists(SYSTEM_CONFIG):
        # That command would go on to the current folder's.
        raise SendError(UNAVAILABLE, f"{SYSTEM_CONFIG} does not exist")
    words += command[2:]
    os.execv(sys.executable, [sys.executable, "-P", *words])  # noqa: S606 - our own program


def _send(options: Options) -> None:
    if not options.recipients and not options.has_header_recipients:
        raise SendError(USAGE, "no recipients: name them, or use -t (see letterlock send --help)")
    recipients = [each for text in options.recipients for each in _read_addresses(text)]
    facts = _collect_facts(options)
    place = DropPlace(find_drop_dir(options.config))
    message = StandardInput(is_dot_text=options.is_dot_text)
    beginning = b""
    if options.has_header_recipients:
        beginning, named = _read_header(message)
        recipients += named
    unique = tuple(dict.fromkeys(recipients))
    if not unique:
        raise SendError(DATA_ERROR, "-t: To, Cc and Bcc name nobody")
    if place.max_recipients is not None and len(unique) > place.max_recipients:
        raise SendError(UNAVAILABLE, f"this host takes {place.max_recipients} recipients at most")
    envelope = _format(DropEnvelope(unique, facts))
    drop = place.begin()
    name = _fill(drop, envelope, beginning, message)
    place.ring()
    if options.is_verbose:
        _say(f"taken for {len(unique)} recipient{'s' * (len(unique) > 1)}: {name}")


def _fill(drop: Drop, envelope: bytes, beginning: bytes, message: StandardInput) -> str:
    try:
        drop.write_envelope(envelope)
        drop.write(beginning)
        while piece := message.read():
            drop.write(piece)
        return drop.finish()
    finally:
        drop.discard()


def _collect_facts(options: Options) -> dict[str, str]:
    facts = {
        "name": options.full_name,
        "notify": options.notify,
        "ret": options.ret,
        "envid": options.envid,
    }
    found = {key: value for key, value in facts.items() if value is not None}
    if options.sender is not None:
        senders = _read_addresses(options.sender) if options.sender else [""]
        if len(senders) != 1:
            raise SendError(USAGE, "-f takes one address")
        found["sender"] = senders[0]
    return found


def _read_addresses(text: str) -> list[str]:
    """Read an argument: mostly an address, but a list as in To is one too."""
    if _PLAIN.issuperset(text):
        found = [text] if text else []
    else:
        from letterlock.protocols.smtp.address_lists import (  # noqa: PLC0415 - loads re
            AddressListError,
            find_addresses,
        )

        try:
            found = [address for address, _ in find_addresses(text)]
        except AddressListError as error:
            raise SendError(DATA_ERROR, f"{_show(text)}: {error}") from None
    for address in found:
        _check_address(address)
    return found


def _check_address(address: str) -> None:
    """Refuse what is surely none; the node knows the rest, and returns the message."""
    local, at, domain = address.rpartition("@")
    if len(address.encode("utf-8", "replace")) > MAX_ADDRESS_OCTETS:
        raise SendError(DATA_ERROR, f"{_show(address)}: an address is not so long")
    if at and not (local and domain):
        raise SendError(DATA_ERROR, f"{_show(address)}: an address has a name, @ and a domain")


def _read_header(message: StandardInput) -> tuple[bytes, list[str]]:
    """Read as far as the header section goes, and further; gives that, and whom it names."""
    from letterlock.protocols.smtp.address_lists import AddressListError  # noqa: PLC0415 - loads re
    from letterlock.protocols.smtp.header_section import (  # noqa: PLC0415 - as above
        HeaderTooLong,
        find_recipients,
        has_header_end,
        split_header,
    )

    beginning = b""
    while not has_header_end(beginning) and (piece := message.read()):
        beginning += piece
    try:
        fields, _ = split_header(beginning)
        named = find_recipients(fields)
    except (HeaderTooLong, AddressListError) as error:
        raise SendError(DATA_ERROR, f"-t: {_show(str(error))}") from None
    for address in named:
        _check_address(address)
    return beginning, named


def _format(envelope: DropEnvelope) -> bytes:
    try:
        return format_envelope(envelope)
    except DropError as error:
        raise SendError(DATA_ERROR, f"an address or a name cannot be sent: {error}") from None


def _show(text: str) -> str:
    return ascii(text[:80])[1:-1]


def _say(text: str) -> None:
    print(f"letterlock-sendmail: {text}", file=sys.stderr)  # noqa: T201 - it is the command line
