"""`regard guide`: what each mechanism is, in words, equation, code and picture; and whether it holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.errors import UserError

if TYPE_CHECKING:
    from regard.guide.page import Page

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard guide\n\n"
    "regard guide additive\n\n"
    "regard guide additive --picture additive.svg\n\n"
    "regard guide --check --json"
)


def guide(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A mechanism, by name or number; without, all are listed.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run the code and measure it against its oracle; exit 1 if one fails.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --check: print the measurements as JSON.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="Save the picture as .png or .svg instead.")
    ] = None,
) -> None:
    """The mechanisms of attention: what each is, its equation, code and a picture made by that code."""
    from regard.guide.registry import find, pages

    if as_json and not check:
        raise UserError("--json goes with --check: regard guide --check --json")
    if picture is not None and (check or name is None):
        raise UserError("--picture is of one mechanism and goes without --check: regard guide additive --picture a.svg")
    chosen = pages() if name is None else (find(name),)
    if check:
        _check(chosen, as_json)
    elif name is None:
        _list()
    else:
        _show(chosen[0], picture)


def _list() -> None:
    from rich.console import Console

    from regard.guide.show import listed

    Console().print(listed())
    typer.echo("\nShow one with: regard guide NAME")


def _show(page: Page, picture: Path | None) -> None:
    from regard.guide.show import save, show

    if picture is not None:
        save(page, picture)
        typer.echo(f"picture: {picture}")
        return
    from rich.console import Console

    show(page, Console())


def _check(chosen: tuple[Page, ...], as_json: bool) -> None:
    """Measure the pages one after the other; what goes wrong in one does not stop the others."""
    found = []
    for page in chosen:
        of_page = _measured(page)
        found += of_page
        if not as_json:
            for one in of_page:
                _say(one)
    failed = [one for one in found if not one["passed"]]
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        typer.echo(f"{_count(len(chosen), 'mechanism')}, {_count(len(found), 'oracle')}, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _measured(page: Page) -> list[dict[str, Any]]:
    try:
        proofs = page.prove()
    except UserError as error:
        return [_row(page, None, None, "not measured", False, str(error))]
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return [_row(page, None, None, "its code or its check could not run", False, said)]
    return [_row(page, one.error, one.bar, one.oracle, one.passed, None) for one in proofs]


def _row(
    page: Page, error: float | None, bar: float | None, oracle: str, passed: bool, problem: str | None
) -> dict[str, Any]:
    if error is not None and not math.isfinite(error):  # JSON has no infinity
        error, problem = None, "shapes differ or a result is not finite"
    return {
        "number": page.number,
        "name": page.name,
        "oracle": oracle,
        "error": error,
        "bar": bar,
        "passed": passed,
        "problem": problem,
    }


def _say(one: dict[str, Any]) -> None:
    measured = "   -   " if one["error"] is None else f"{one['error']:.1e}"
    verdict = "pass" if one["passed"] else "FAIL"
    problem = f" ({one['problem']})" if one["problem"] else ""
    typer.echo(f"{one['number']:>2}  {one['name']:<19} {verdict}  {measured}  {one['oracle']}{problem}")
