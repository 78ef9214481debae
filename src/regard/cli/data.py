"""`regard data`: the public sets there are, whether they are here, and how to get them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.cli.options import DEFAULT_DATA
from regard.data.catalogue import SETS, TATOEBA, PublicSet
from regard.data.sets import find, missing, names

if TYPE_CHECKING:
    from regard.data.fetch import Progress

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard data\n\n"
    "regard data fetch multi30k\n\n"
    "regard data fetch tatoeba --out corpora\n\n"
    "regard data --data-dir corpora"
)
NOTICE = "NOTICE-{}.txt"

app = typer.Typer(no_args_is_help=False, rich_markup_mode="rich")


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def data(
    context: typer.Context,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="FOLDER", help="Where local copies are looked for.")
    ] = DEFAULT_DATA,
) -> None:
    """List the public sets of sentence pairs: size, languages, licence, and whether a copy is here."""
    if context.invoked_subcommand is not None:
        return
    for public in SETS.values():
        sizes = ", ".join(f"{split} {count:,}" for split, count in public.pairs.items())
        typer.echo(f"{public.name}: {public.title}")
        typer.echo(f"  languages  {', '.join(public.languages)}\n  pairs      {sizes}\n  download   {public.size}")
        typer.echo(f"  licence    {public.licence}\n  here       {_here(public, data_dir)}")
    typer.echo("\nGet one with: regard data fetch NAME")


@app.command(epilog=EXAMPLES)
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"Which: {', '.join(SETS)}.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="The data folder; the set gets a folder in it.")
    ] = DEFAULT_DATA,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Fetch a public set: what is here already is kept, what broke off goes on, every file by its checksum."""
    from regard.data.fetch import fetch as get
    from regard.data.fetch import sha256

    public = find(name)
    folder = out / public.folder
    typer.echo(f"{public.name}, licence: {public.licence}\n{public.notice}")
    for remote in public.files:
        new = get(remote, folder / remote.name, _progress(remote.name, quiet))
        if not quiet:
            checked = "SHA-256 right" if remote.sha256 else f"SHA-256 {sha256(folder / remote.name)}, none published"
            typer.echo(f"{remote.name}: {'fetched' if new else 'here already'}, {checked}", err=True)
    if public.name == TATOEBA.name:
        _unpack(folder, folder / public.files[0].name)
    _keep_notice(public, folder)
    typer.echo(f"{public.name} is in {folder}")


def _unpack(folder: Path, archive: Path) -> None:
    from regard.data.tatoeba import unpack

    if not unpack(archive, folder):
        typer.echo(
            "note: the split made here is not the one this project's figures are measured on: scores do not compare",
            err=True,
        )


def _keep_notice(public: PublicSet, folder: Path) -> None:
    """Licence and attribution stay beside every copy."""
    from regard.folder import write

    sources = "".join(f"{file.url}\n" for file in public.files)
    text = f"{public.title}\nLicence: {public.licence}\n{public.notice}\n\nFrom:\n{sources}"
    write(folder / NOTICE.format(public.name), text.encode())


def _here(public: PublicSet, folder: Path) -> str:
    absent = missing(public, folder)
    if not absent:
        return f"yes, in {folder}"
    some = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
    return "no" if len(absent) == len(names(public)) else f"incomplete: no {some}"


def _progress(name: str, quiet: bool) -> Progress:
    """A line on stderr every two seconds: what a slow transfer needs and a log can hold."""
    said = time.monotonic()

    def show(done: int, total: int | None) -> None:
        nonlocal said
        if not quiet and time.monotonic() - said >= 2:
            said = time.monotonic()
            typer.echo(f"{name}: {done / 1e6:.1f}{f' of {total / 1e6:.1f}' if total else ''} MB", err=True)

    return show
