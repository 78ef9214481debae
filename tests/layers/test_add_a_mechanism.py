"""The mechanism that docs/how-to/add-a-mechanism.md adds passes the checks that the page says it does."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-mechanism.md").read_text(encoding="utf-8")

page = sys.modules["a_mechanism"] = ModuleType("a_mechanism")  # the compiler looks a function's module up by name
for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
    exec(compile(code, "add-a-mechanism.md", "exec"), vars(page))

test_what_must_hold = page.test_what_must_hold


TEN_LINES = re.search(r"## Ten lines\n\n```python\n(.*?)```", TEXT, re.DOTALL)[1]


def test_it_took_about_ten_lines() -> None:
    lines = [line for line in TEN_LINES.splitlines() if line.strip() and not re.match(r"import|from| *\"\"\"", line)]
    assert len(lines) <= 12


def test_its_file_is_all_that_the_package_needs_to_offer_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import regard.layers

    assert not hasattr(regard, "NearAttention")
    (tmp_path / "near.py").write_text(TEN_LINES, encoding="utf-8")
    monkeypatch.setattr(regard.layers, "__path__", [*regard.layers.__path__, str(tmp_path)])
    assert "NearAttention" in dir(regard.layers)
    try:
        from regard.layers import NearAttention

        assert regard.NearAttention is NearAttention
        assert NearAttention.__module__ == "regard.layers.near"
    finally:
        for module in (regard, regard.layers):
            vars(module).pop("NearAttention", None)
        sys.modules.pop("regard.layers.near", None)
