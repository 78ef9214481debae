"""How long the doors take to open: `from regard import attend` beyond `import torch`, and `regard --help`.

    python benchmarks/import_time.py [--out FILE.json] [--rounds N]

Each is a fresh process. The import is timed inside one process, after `import torch`; the command from outside, from
start to end. Reported: the median with the quartiles. Bars: 0.15 s and 0.4 s. Run it alone: a busy core spoils both.
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


def help_text() -> float:
    """Seconds of `regard --help`."""
    command = Path(sys.executable).with_name("regard")
    start = time.perf_counter()
    subprocess.run([command, "--help"], check=True, capture_output=True)
    return time.perf_counter() - start


BARS: dict[str, tuple[Callable[[], float], float]] = {
    "from regard import attend": (attend, 0.15),
    "regard --help": (help_text, 0.4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    rows = []
    for name, (measure, bar) in BARS.items():
        measure()  # the first run reads from the disk
        low, median, high = statistics.quantiles([measure() for _ in range(arguments.rounds)], n=4)
        rows.append({"what": name, "seconds": median, "low": low, "high": high, "bar": bar, "met": median <= bar})
        print(f"{name:28} {median:.3f} s [{low:.3f}, {high:.3f}]  bar {bar} s: {'met' if median <= bar else 'NOT MET'}")
    if arguments.out:
        arguments.out.write_text(json.dumps({"python": platform.python_version(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
