"""`letterlock ca new-issuer`: a further key that issues, or a further root's word for one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.ca_root import make_place, root_options
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from letterlock.base.config.sections import Config
    from letterlock.node.ca.root_work import FurtherAuthority


@click.command("new-issuer")
@config_option
@json_option(
    {
        "files": "what was written",
        "setting": "the key of `[ca]` that is to be changed",
        "value": "to what, as TOML",
    }
)
@root_options
@click.option(
    "--certify",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make no key: certify the authority of this certificate by this root too.",
)
@click.option("--token", "is_in_token", is_flag=True, help="Make the key in the PKCS#11 token.")
@click.argument("name")
def new_issuer(  # noqa: PLR0913 - each is an option
    config_path: Path | None,
    key: Path,
    passphrase_file: Path,
    root: Path | None,
    certify: Path | None,
    name: str,
    *,
    is_in_token: bool,
    as_json: bool,
) -> int:
    """Make a new issuing key NAME, which the root certifies.

    Its files are NAME.pem, NAME.key and NAME.passphrase beside the others; nothing is written over,
    and nothing issues by it before the settings say so. With --certify an authority that there is
    gets a second root's word, and what it issues a second chain.
    """
    if not name.replace("-", "").isalnum() or not name.isascii():
        raise CommandFailed(f"{name}: a name is letters, digits and '-'", ExitCode.WRONG_USAGE)
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    place = (key, passphrase_file, root)
    made = _make(config, place, name, certify, is_in_token=is_in_token)
    where, setting = _describe(config, made)
    if as_json:
        files = [str(each) for each in made.paths]
        print_json({"files": files, "setting": where, "value": setting})
        return ExitCode.FINE
    for each in made.paths:
        click.echo(f"wrote {each}")
    of = "" if where == "issuers" else " issuers, of the one that was certified"
    click.echo(f"\nTake the root's key away again. In [ca]{of}, then SIGHUP:\n{where} = {setting}")
    return ExitCode.FINE


def _make(
    config: "Config",
    place: tuple[Path, Path, Path | None],
    name: str,
    certify: Path | None,
    *,
    is_in_token: bool,
) -> "FurtherAuthority":
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h

    try:
        from letterlock.node.ca import root_work  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"{error.name} is not installed: pip install 'letterlock[ca]'", ExitCode.WRONG_USAGE
        ) from None
    root, clock = make_place(*place), SystemClock()
    if certify is not None:
        return root_work.certify_again(config, root, name, certify, clock)
    return root_work.make_further_authority(config, root, name, clock, is_in_token=is_in_token)


def _describe(config: "Config", made: "FurtherAuthority") -> tuple[str, str]:
    """Give where in the settings it belongs, and what is to stand there."""
    from letterlock.node.ca.keys import list_issuers  # noqa: PLC0415 - not loaded for -h

    if made.key is None and made.token_key is None:
        return "alternates", f'["{made.certificate}"]'
    parts: dict[str, object] = {"certificate": made.certificate, "root": made.root}
    if made.token_key is None:
        parts |= {"key": made.key, "passphrase_file": made.passphrase}
    else:
        parts["token_key"] = made.token_key
    lines = [_format(parts)]
    for each in list_issuers(config.ca):
        names = ("certificate", "root", "key", "passphrase_file", "token_key")
        found = {name: getattr(each, name) for name in names}
        lines.append(_format(found, each.alternates))
    return "issuers", "[\n" + "".join(f"  {line},\n" for line in lines) + "]"


def _format(parts: "Mapping[str, object]", alternates: "Sequence[Path]" = ()) -> str:
    """Write a table of TOML; what is None is left out."""
    texts = [f'{name} = "{each}"' for name, each in parts.items() if each is not None]
    if alternates:
        listed = ", ".join(f'"{each}"' for each in alternates)
        texts.append(f"alternates = [{listed}]")
    return f"{{ {', '.join(texts)} }}"
