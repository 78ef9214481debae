"""How long the doors take to open: the import of `attend`, `regard --help`, and a first translation.

    python benchmarks/import_time.py [--out FILE.json] [--table FILE.md] [--rounds N]

Each is a fresh process. The import is timed inside one process, after `import torch`; commands from outside, from start
to end; from the translation's time that of a process which only imports torch is taken off, run right before it.
Reported: the median with the quartiles. Bars: 0.15, 0.4 and 0.6 s. Run it alone: a busy core spoils all.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ATTEND = "import torch, time; s = time.perf_counter(); from regard import attend; print(time.perf_counter() - s)"


def attend() -> float:
    """Seconds of `from regard import attend` after `import torch`."""
    return float(subprocess.run([sys.executable, "-c", ATTEND], check=True, capture_output=True, text=True).stdout)


def elapsed(*command: str | Path) -> float:
    """Seconds of a process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def help_text() -> float:
    """Seconds of `regard --help`."""
    return elapsed(REGARD, "--help")


def translation() -> float:
    """Seconds of `regard translate`, with the model that came along, beyond those of `import torch`."""
    torch = elapsed(sys.executable, "-c", "import torch")
    return elapsed(REGARD, "translate", "--model", "en-fr", "I love deep learning") - torch


REGARD = Path(sys.executable).with_name("regard")
BARS: dict[str, tuple[Callable[[], float], float]] = {
    "from regard import attend": (attend, 0.15),
    "regard --help": (help_text, 0.4),
    'regard translate "I love deep learning"': (translation, 0.6),
}
BEYOND = {attend: "beyond import torch", help_text: "", translation: "beyond import torch"}


def markdown(rows: list[dict]) -> str:
    """The table that the docs show."""
    lines = ["| what | seconds | quartiles | bar |", "|---|---|---|---|"]
    for row in rows:
        met = "met" if row["met"] else "**not met**"
        lines.append(
            f"| `{row['what']}` {row['beyond']} | {row['seconds']:.3f} | {row['low']:.3f} to {row['high']:.3f} "
            f"| {row['bar']}: {met} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    rows = []
    for name, (measure, bar) in BARS.items():
        measure()  # the first run reads from the disk
        low, median, high = statistics.quantiles([measure() for _ in range(arguments.rounds)], n=4)
        rows.append(
            {
                "what": name,
                "beyond": BEYOND[measure],
                "seconds": median,
                "low": low,
                "high": high,
                "bar": bar,
                "met": median <= bar,
            }
        )
        print(f"{name:40} {median:.3f} s [{low:.3f}, {high:.3f}]  bar {bar} s: {'met' if median <= bar else 'NOT MET'}")
    if arguments.table:
        arguments.table.write_text(markdown(rows) + "\n", encoding="utf-8")
    if arguments.out:
        arguments.out.write_text(json.dumps({"python": platform.python_version(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
