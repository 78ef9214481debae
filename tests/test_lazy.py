"""`import regard` loads nothing, and `from regard import attend` nothing but PyTorch; every promised name is there."""

import subprocess
import sys
from pathlib import Path

import regard


def in_a_fresh_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_import_regard_loads_not_even_torch() -> None:
    assert in_a_fresh_process("import sys, regard; print('torch' in sys.modules)") == "False"


def test_attend_pulls_in_no_training_plotting_or_hugging_face() -> None:
    heavy = "lightning lightning_fabric pytorch_lightning matplotlib typer rich transformers tokenizers sacrebleu"
    code = "import sys; from regard import attend, causal, Additive; print(*sys.modules)"
    assert not set(heavy.split()) & set(in_a_fresh_process(code).split())


def test_attend_is_the_function_whichever_import_comes_first() -> None:
    function_last = "import regard.layers; from regard.attend import plan; from regard import attend"
    function_first = "from regard import attend; import regard.attend"
    for imports in (function_last, function_first):
        code = (
            f"{imports}; import regard, torch; one = torch.ones(1, 1, 1, 1); print(regard.attend(one, one, one).item())"
        )
        assert in_a_fresh_process(code) == "1.0"


def test_observe_is_the_function_whichever_import_comes_first() -> None:
    function_last = "import regard.observe.words; from regard.observe.seen import Seen; from regard import observe"
    function_first = "from regard import observe; import regard.observe.words; from regard.observe import plain"
    for imports in (function_last, function_first):
        code = f"{imports}; import regard, torch; x = torch.ones(1, 1, 1, 1); print(regard.observe(x, x, x).lse)"
        assert in_a_fresh_process(code) == "tensor([[[1.]]])"
    assert in_a_fresh_process("import sys, regard.observe.words; print('torch' in sys.modules)") == "False"


def test_every_public_name_loads_and_is_listed() -> None:
    for name in regard.__all__:
        assert getattr(regard, name) is not None
        assert name in dir(regard)
    assert set(regard._HOME) < set(regard.__all__)
    assert not hasattr(regard, "attention")


def test_every_layer_is_found_where_its_file_says_it_is_and_told_to_type_checkers() -> None:
    import regard.layers

    block = Path(regard.layers.__file__).read_text(encoding="utf-8")
    for name in regard.layers.__all__:
        layer = getattr(regard.layers, name)
        assert getattr(regard, name) is layer
        assert name in dir(regard.layers)
        assert f"    from {layer.__module__} import *\n" in block
        assert not (Path(regard.layers.__file__).parent / f"{name}.py").exists(), "the file would hide its own name"
    assert not hasattr(regard.layers, "Summary")  # what a file does not offer
    assert in_a_fresh_process(
        "import sys, regard.layers; print(len(dir(regard.layers)) > 40, 'torch' in sys.modules)"
    ) == ("True False")


def test_every_model_and_training_name_loads() -> None:
    import regard.models
    import regard.training

    for room in (regard.models, regard.training):
        assert all(getattr(room, name) is not None and name in dir(room) for name in room.__all__)
    assert not hasattr(regard.models, "attention")
    assert in_a_fresh_process("import sys, regard.models; print('torch' in sys.modules)") == "False"
