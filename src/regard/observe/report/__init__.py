"""The report: what was seen, as one HTML file that opens by a double-click and asks nothing of any network.

`save` writes it, `html` returns it. The page's own script and style stand in `page/`, to be read; they are put into the
file, and a Content-Security-Policy lets nothing else run and nothing be loaded. Tokens, names and titles travel as data
and are shown as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from regard.errors import UserError
from regard.observe.colours import ramp
from regard.observe.report.calls import SINK, calls
from regard.observe.report.pack import packed
from regard.observe.report.texts import Texts
from regard.observe.seen import Seen
from regard.observe.words import shown

SCRIPTS = (
    "data.js",
    "words.js",
    "colour.js",
    "pens.js",
    "picture.js",
    "overview.js",
    "reading.js",
    "page.js",
    "legend.js",
    "controls.js",
    "saving.js",
    "begin.js",
)
MEGABYTES = 5.0
TITLE = "What attention read"
ROWS = "the token at the query's place, as the model was given it"


def save(
    seen: Seen,
    path: str | Path,
    *,
    title: str = TITLE,
    row: int = 0,
    rows: str = ROWS,
    megabytes: float = MEGABYTES,
) -> None:
    """Write what was seen as one self-contained page.

    path: where; it ends in .html.
    title: the page's heading.
    row: the batch row that is shown; `seen.tokens` and `seen.source_tokens` are its tokens.
    rows: what a row of the matrix stands for; in a translator's picture, the word that was written.
    megabytes: the file's size at most (10⁶ bytes), as far as tokens and statistics allow: matrices travel as fine as
        fits, and the page says how fine that is.
    Raises UserError for another ending, a folder that is not there, or where nothing was seen; ValueError for a batch
    row that is not there.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: reports are saved as .html, not {path.suffix or 'without an ending'}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.absolute().parent}: make it first")
    path.write_text(html(seen, title=title, row=row, rows=rows, megabytes=megabytes), encoding="utf-8", newline="\n")


def html(seen: Seen, *, title: str = TITLE, row: int = 0, rows: str = ROWS, megabytes: float = MEGABYTES) -> str:
    """The page that `save` writes."""
    if not seen.looks:
        unread = "; ".join(f"{name}: {why}" for name, why in seen.unread.items())
        raise UserError(f"nothing was seen, so there is nothing to report{f' (not read: {unread})' if unread else ''}")
    style, script = _page("page.css"), "".join(_page(name) for name in SCRIPTS)
    found = calls(seen, row)
    texts = Texts(seen)
    payload: dict[str, Any] = {
        "title": shown(title),
        "rows": shown(rows),
        "sink": SINK,
        "ramps": [base64.b64encode(ramp(dark).tobytes()).decode("ascii") for dark in (False, True)],
        "unread": [[shown(name), shown(why)] for name, why in seen.unread.items()],
        "texts": texts.written(),
    }
    fixed = len(style) + len(script) + len(json.dumps(payload)) + 10_000
    payload |= packed(found, megabytes * 1e6 - fixed)
    for call, one in zip(found, payload["calls"], strict=True):
        one["name"], one["kind"] = shown(one["name"]), shown(one["kind"])
        one["text"], one["keyText"] = texts.of(call)
    return _assembled(title, style, script, payload)


def frame(seen: Seen) -> str:
    """The page inside a sandboxed frame, for a notebook's cell."""
    return (
        '<iframe sandbox="allow-scripts allow-downloads" title="What attention read" loading="lazy" '
        'style="width: 100%; height: 860px; border: 1px solid #8884; border-radius: 8px" '
        f'srcdoc="{escape(html(seen))}"></iframe>'
    )


def _assembled(title: str, style: str, script: str, payload: dict[str, Any]) -> str:
    """The page: nothing may run but the script whose hash stands in the policy, nothing may be loaded."""
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    # In a script block only `<` could end it; the others are written out for tools that read the page carelessly.
    data = json.dumps(payload, separators=(",", ":"))
    for character in "<>&":
        data = data.replace(character, f"\\u{ord(character):04x}")
    parts = {"policy": policy, "title": escape(shown(title)), "style": style, "data": data, "script": script}
    pieces = _page("page.html").split("@@")  # text and names in turn: what was put in is never looked through again
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))


def _page(name: str) -> str:
    return files("regard.observe.report").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
