"""What a report weighs, how long it takes to write, to show its first picture and to follow the pointer.

    python benchmarks/report.py [--out FILE.json] [--table FILE.md] [--rounds N]

Chromium opens each file from disk, afresh. First picture: from the start of the navigation until the large head is
painted. Hover: from a pointer event until text, table and picture have followed and the frame is laid out. Reported:
the median of the rounds and the largest. Bars: 12 x 12 heads at T = 512 at most 5 MB, first picture within 1 s, hover
within 50 ms; one head at T = 100,000 opens, pans and zooms. Run it alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import looks
from playwright.sync_api import Browser, sync_playwright

from regard.observe.seen import Seen

FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
MEGABYTES, FIRST_MS, HOVER_MS = 5.0, 1000.0, 50.0
HOVER = """async () => {
    const canvas = $("cursor"), box = canvas.getBoundingClientRect(), { plot } = now.picture, times = [];
    for (let i = 0; i < 40; i++) {
        const clientX = box.left + plot.x + plot.width * ((i * 0.37 + 0.1) % 1);
        const clientY = box.top + plot.y + plot.height * ((i * 0.61 + 0.2) % 1);
        await new Promise(requestAnimationFrame);
        const start = performance.now();
        canvas.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, bubbles: true }));
        follow();
        document.body.offsetHeight;
        times.push(performance.now() - start);
    }
    return times;
}"""
MOVE = """async (kind) => {
    const times = [];
    for (let i = 0; i < 20; i++) {
        await new Promise(requestAnimationFrame);
        const start = performance.now();
        if (kind === "zoom") now.picture.zoom(i < 10 ? 2 : 0.5, 0.3, 0.31);
        else now.picture.pan((i - 9.5) * 500, (i - 9.5) * 500);
        draw();
        times.push(performance.now() - start);
    }
    return times;
}"""


def measured(browser: Browser, name: str, seen: Seen, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        start = time.perf_counter()
        seen.save(path)
        wrote = time.perf_counter() - start
        first, hover, zoom, pan = [], [], [], []
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            page = context.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]", timeout=120_000)
            first.append(page.evaluate("performance.getEntriesByName('drawn')[0].startTime"))
            hover += page.evaluate(HOVER)
            zoom += page.evaluate(MOVE, "zoom")
            pan += page.evaluate(MOVE, "pan")
            context.close()
        return {
            "report": name,
            "megabytes": path.stat().st_size / 1e6,
            "write_s": wrote,
            **{
                f"{what}_{kind}_ms": choose(times)
                for what, times in (("first", first), ("hover", hover), ("zoom", zoom), ("pan", pan))
                for kind, choose in (("median", statistics.median), ("most", max))
            },
        }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table that docs/results.md shows."""
    lines = ["| report | MB | written in s | first picture ms | hover ms | zoom ms | pan ms |", "|---" * 7 + "|"]
    for row in rows:
        times = " | ".join(
            f"{row[f'{what}_median_ms']:.0f} (at most {row[f'{what}_most_ms']:.0f})"
            for what in ("first", "hover", "zoom", "pan")
        )
        lines.append(f"| {row['report']} | {row['megabytes']:.2f} | {row['write_s']:.1f} | {times} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.exit(2, "regard: there is no chromium on the path\n")
    cases = {
        "4 × 6 heads, 23 tokens": lambda: looks.sentence(4, 6),
        "12 × 12 heads, 512 tokens": looks.encoder,
        "1 head, 100,000 tokens": looks.long,
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        rows = [measured(browser, name, make(), arguments.rounds) for name, make in cases.items()]
        version = browser.version
        browser.close()
    print(markdown(rows))
    large = rows[1]
    met = {
        f"at most {MEGABYTES:g} MB": large["megabytes"] <= MEGABYTES,
        f"first picture within {FIRST_MS:g} ms": large["first_median_ms"] <= FIRST_MS,
        f"hover within {HOVER_MS:g} ms": large["hover_median_ms"] <= HOVER_MS,
    }
    for bar, true in met.items():
        print(f"12 × 12 heads at 512: {bar}: {'met' if true else 'NOT MET'}")
    if arguments.table:
        arguments.table.write_text(markdown(rows) + "\n", encoding="utf-8")
    if arguments.out:
        arguments.out.write_text(json.dumps({"chromium": version, "rounds": arguments.rounds, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
