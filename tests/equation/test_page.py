"""What docs/equation.md prints is what its code prints."""

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "equation.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


def test_the_page_shows_what_its_code_prints() -> None:
    session: dict[str, object] = {}
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(found) > 10
    for code, shown in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, session)
        assert printed.getvalue() == shown, code
