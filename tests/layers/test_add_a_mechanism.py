"""The mechanism that docs/how-to/add-a-mechanism.md adds passes the checks that the page says it does."""

import re
import sys
from pathlib import Path
from types import ModuleType

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-mechanism.md").read_text(encoding="utf-8")

page = sys.modules["a_mechanism"] = ModuleType("a_mechanism")  # the compiler looks a function's module up by name
for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
    exec(compile(code, "add-a-mechanism.md", "exec"), vars(page))

test_what_must_hold = page.test_what_must_hold


def test_it_took_about_ten_lines() -> None:
    code = re.search(r"## Ten lines\n\n```python\n(.*?)```", TEXT, re.DOTALL)
    assert code is not None
    lines = [line for line in code[1].splitlines() if line.strip() and not re.match(r"import|from| *\"\"\"", line)]
    assert len(lines) <= 12
