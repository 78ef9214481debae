"""Run the Hugging Face tests on the oldest, a middle and the newest supported transformers.

    python tests/compat.py [VERSION ...]

The newest is the one that is installed here. Each other version gets a virtual environment in .venv-compat/, which
borrows PyTorch and everything else from the one that runs this: only transformers and what must be of its age is
installed.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

NEWEST = metadata.version("transformers")
"""The one that is installed here: constraints.txt pins the newest that is supported."""
VERSIONS = ("5.0.0", "5.12.0", NEWEST)
"""Oldest, middle, newest."""
HERE = Path(__file__).resolve().parent


def main() -> int:
    failed = []
    for version in sys.argv[1:] or VERSIONS:
        print(f"== transformers {version} ==", flush=True)
        environment = dict(os.environ)
        environment.pop("PIP_CONSTRAINT", None)  # it pins one version of transformers
        python = prepared(version, environment)
        tests = [str(HERE / "integrations"), "-k", "transformers", "-p", "no:cacheprovider", "-rs"]
        if subprocess.run([python, "-m", "pytest", *tests], cwd=HERE.parent, env=environment).returncode:
            failed.append(version)
    print(f"failed with transformers {', '.join(failed)}" if failed else "all passed")
    return bool(failed)


def prepared(version: str, environment: dict[str, str]) -> str:
    """The python of an environment with this version; made where there is none, or where one was left half made."""
    if version == NEWEST:
        return sys.executable
    folder = HERE.parent / ".venv-compat" / version
    python, done = folder / "bin" / "python", folder / "done"
    if not done.exists():
        venv.create(folder, clear=True, with_pip=True)
        site = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        lines = [f"import site; site.addsitedir({path!r})" for path in sorted(borrowed)]  # with its own .pth files
        Path(site.strip(), "borrowed.pth").write_text("\n".join(lines) + "\n")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"transformers=={version}"]
        subprocess.run(install, check=True, env=environment)
        done.touch()
    return str(python)


if __name__ == "__main__":
    sys.exit(main())
