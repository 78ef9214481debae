"""What README and docs show is true: the Python runs, the commands exist as written, the links lead somewhere."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SHOWN = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OUR_NAME = re.compile(r"`(regard(?:\.\w+)+)")
A_MACHINE = re.compile(r"(?<![\w.~])/(?:home|root|Users|work|tmp|mnt)/\w")


def name(page: Path) -> str:
    """The page as the repository calls it."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    """The contents of the fenced blocks of `page` in one of `languages`."""
    return [body for language, body in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line shown in `page`: after `$ ` in a console block, or a line of a shell one."""
    for body in blocks(page, "console"):
        for line in body.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield shlex.split(line[2:], comments=True)
    for body in blocks(page, "sh", "bash", "shell"):
        for line in body.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
COMMANDS = [(page, words) for page in PAGES for words in commands(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_blocks_run_and_print_what_is_shown(
    page: Path, tiny_translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page is one session in an empty folder, beside a translator where `make demo` would have left it.

    A text block right after a Python block shows what that prints.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "regard-demo").mkdir()
    (tmp_path / "regard-demo" / "additive").symlink_to(tiny_translator)
    session: dict[str, object] = {"__name__": "__main__"}
    for number, (code, shown) in enumerate(SHOWN.findall(page.read_text(encoding="utf-8")), start=1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{name(page)}, block {number}", "exec"), session)
        assert not shown or printed.getvalue().rstrip() == shown.rstrip()


@pytest.mark.parametrize(("page", "words"), [pytest.param(p, w, id=f"{name(p)}: {' '.join(w)}") for p, w in COMMANDS])
def test_commands_exist_as_written(page: Path, words: list[str]) -> None:
    """`regard` lines are parsed by the command itself, `make` lines name targets; other programs are not ours."""
    program, *arguments = words
    if program == "make":
        done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    elif program == "regard":
        parse(arguments)


def parse(arguments: list[str]) -> None:
    """Parses a command line of `regard` as its own program would, without running it."""
    import typer.main

    from regard.cli.app import app

    group = typer.main.get_command(app)
    with group.make_context("regard", arguments, resilient_parsing=False) as context:
        rest = [*context._protected_args, *context.args]
        command_name, command, rest = group.resolve_command(context, rest)  # type: ignore[attr-defined]
        command.make_context(command_name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_of_the_package_exist(page: Path) -> None:
    """`regard.room.file.Class.method` in a text can be imported under that name."""
    for dotted in dict.fromkeys(OUR_NAME.findall(page.read_text(encoding="utf-8"))):
        assert resolve(dotted) is not None, dotted


def resolve(dotted: str) -> object:
    """What a dotted name stands for: modules as far as they go, then attributes."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: object = importlib.import_module(".".join(parts[:cut]))
            break
    for part in parts[cut:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_path_of_one_machine(page: Path) -> None:
    assert not A_MACHINE.findall(page.read_text(encoding="utf-8"))


USES = re.findall(
    r"^\| \d+ \|[^|]*\|[^|]*\| `([^`]*\))` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize("use", [use for use in USES if not use.startswith("fine_tune")])
def test_the_one_line_of_each_mechanism_runs(use: str) -> None:
    """The README's table of mechanisms: whoever copies a line gets numbers."""
    import torch

    import regard
    from regard import layers
    from regard.models import han

    names = {name: getattr(layers, name) for name in layers.__all__} | {
        "attend": regard.attend,
        "bigbird": regard.bigbird,
        "HAN": han.HAN,
        "padded": han.padded,
        **{
            name: torch.randn(2, 9, 64)
            for name in ("x", "decoder", "encoder", "h", "source", "series", "words", "store")
        },
        **{name: torch.randn(2, 4, 9, 16) for name in ("q", "k", "v")},
        "regions": torch.randn(2, 12, 64),
        "documents": torch.randn(2, 4, 7, 64),
        "reviews": [[[7, 2, 4999], [1]], [[3, 3]]],
        "grid": torch.randn(2, 8, 5, 5),
        "positions": 25,
        "hidden": 4,
    }
    found = eval(use, names)
    assert all(part.isfinite().all() for part in (found if isinstance(found, tuple) else (found,)))
