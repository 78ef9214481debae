"""The wheel, as somebody who never saw the checkout gets it: with what it asks for, nothing else, in an empty place.

Instead of downloading again what the tests already run on, the empty environment is given links to the installed
distributions that the wheel's own metadata asks for, and theirs. A dependency that is used but not declared is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no stale build folder of the checkout slips in and none is left behind."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy)
    shutil.copytree(repository / "src/regard", copy / "src/regard", ignore=shutil.ignore_patterns("__pycache__"))
    out = copy / "dist"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def needed(names: list[str]) -> set[str]:
    """The distributions called `names` and all that they need here, without extras nobody asked for."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        if wanted.name.lower() in found:
            continue
        found.add(wanted.name.lower())
        for line in distribution(wanted.name).requires or ():
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": x}) for x in wanted.extras or {""}):
                waiting.append(inner)
    return found


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and exactly what its metadata asks for; returns its folder of programs."""
    environment = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    programs = environment / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    here = Path(sysconfig.get_path("purelib"))
    there = next(environment.glob("lib/python*/site-packages"))
    asked = [line for line in distribution_requires(there) if "extra ==" not in line]
    for name in needed(asked):
        for top in {file.parts[0] for file in distribution(name).files or ()}:
            if top not in ("..", "__pycache__") and not (there / top).exists():
                (there / top).symlink_to(here / top)
    return programs


def distribution_requires(site_packages: Path) -> list[str]:
    """What the installed wheel's own metadata asks for."""
    (metadata,) = site_packages.glob("regard-*.dist-info/METADATA")
    head = "Requires-Dist: "
    return [line.removeprefix(head) for line in metadata.read_text().splitlines() if line.startswith(head)]


def run(outside: Path, folder: Path, program: str, *arguments: str) -> str:
    """Runs a program of the environment in `folder` with an empty home and returns what it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        [str(outside / program), *arguments],
        cwd=folder,
        env={**kept, "HOME": str(folder), "TERM": "dumb", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_licence_and_the_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "regard/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


def test_every_module_of_the_checkout_is_in_the_wheel(wheel: Path, repository: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("regard/")}
    source = repository / "src"
    files = {path.relative_to(source).as_posix() for path in source.glob("regard/**/*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= packed


def test_the_command_works_outside_the_checkout(outside: Path, tmp_path: Path) -> None:
    version = distribution("regard").version
    assert version in run(outside, tmp_path, "regard", "--version")
    shown = run(outside, tmp_path, "regard", "--help")
    assert all(command in shown for command in ("demo", "train", "translate", "evaluate"))


def test_attention_works_outside_the_checkout(outside: Path, tmp_path: Path) -> None:
    code = (
        "import regard, torch; from regard import attend, causal; q = torch.randn(1, 2, 5, 8); "
        "print(regard.__file__); print(tuple(attend(q, q, q, mask=causal()).shape))"
    )
    where, shape = run(outside, tmp_path, "python", "-c", code).splitlines()
    assert outside.parent in Path(where).parents
    assert shape == "(1, 2, 5, 8)"
