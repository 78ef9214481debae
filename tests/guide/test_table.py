"""The README's table of the twenty: each row says what its page says, and what proves it is a test that is there."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from named import TESTS, there

from regard.guide.registry import find

README = Path(__file__).resolve().parents[2] / "README.md"


class Row(NamedTuple):
    """A row of the table."""

    number: int
    name: str
    page: str
    equation: str
    use: str
    oracle: str


ROWS = [
    Row(int(number), *cells)
    for number, *cells in re.findall(
        r"^\| (\d+) \| \[([^\]]+)\]\(docs/guide/([\w-]+)\.md\) \| (.+?) \| `(.+?)` \| (.+?) \|$",
        README.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
]
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.page)

PROOFS = {
    1: [
        "layers/test_multihead.py::test_torchs_weights_load_and_give_its_numbers",
        "layers/test_multihead.py::test_permuting_the_input_permutes_the_output",
        "layers/test_names.py::test_self_attention_of_one_head_is_multi_head_attention_of_one",
    ],
    2: [
        "layers/test_names.py::test_soft_and_global_attention_are_keras_attention",
        "layers/test_names.py::test_soft_is_dot_and_global_with_the_identity_is_dot",
        "layers/test_names.py::test_what_must_hold",
    ],
    3: [
        "layers/test_source.py::test_what_must_hold",
        "layers/test_source.py::test_local_attention_gives_one_number_in_its_window_and_over_all_positions",
        "layers/test_source.py::test_local_attention_over_a_long_source_builds_nothing_that_grows_with_its_square",
    ],
    4: [
        "layers/test_multihead.py::test_torchs_weights_load_and_give_its_numbers",
        "layers/test_multihead.py::test_keras_multi_head_and_grouped_query_attention",
        "layers/test_multihead.py::test_llamas_attention_grouped_rotary_and_causal",
        "layers/test_multihead.py::test_t5s_attention_with_its_table",
        "layers/test_multihead.py::test_cached_equals_uncached",
    ],
    5: [
        "layers/test_multihead.py::test_torchs_weights_load_and_give_its_numbers",
        "layers/test_names.py::test_cross_attention_with_identities_for_projections_is_attention_without",
    ],
    6: [
        "layers/test_names.py::test_masked_self_attention_is_sdpas_causal",
        "layers/test_multihead.py::test_masked_output_at_t_knows_nothing_later_gradients_included",
    ],
    7: ["layers/test_names.py::test_what_must_hold", "guide/test_guide.py::test_the_scale_keeps_gradients_alive"],
    8: ["layers/test_source.py::test_additive_equals_keras_fed_the_projections"],
    9: ["layers/test_source.py::test_dot_and_general_equal_keras"],
    10: [
        "layers/test_hierarchical.py::test_what_must_hold",
        "layers/test_hierarchical.py::test_padding_changes_nothing",
    ],
    11: [
        "layers/test_sparse.py::test_what_must_hold",
        "layers/test_sparse.py::test_the_literal_form_leaks_to_every_pair_it_means_to_remove",
        "equation/normalisers/test_sparse.py::test_the_package_entmax_gives_the_same_weights_and_gradients",
    ],
    12: [
        "layers/test_hard.py::test_weights_are_one_hot_in_training_and_evaluation",
        "layers/test_hard.py::test_ties_go_to_the_first_position",
        "layers/test_reinforce.py::test_the_mean_gradient_meets_the_exact_one",
    ],
    13: [
        "layers/test_names.py::test_soft_is_dot_and_global_with_the_identity_is_dot",
        "layers/test_hard.py::test_soft_attention_tends_to_it_as_its_scores_grow",
    ],
    14: ["layers/test_temporal.py::test_it_is_sdpa_over_the_time_axis"],
    15: [
        "layers/test_spatial.py::test_a_grid_worked_by_hand",
        "layers/test_non_local.py::test_it_is_self_attention_on_the_flattened_grid",
        "layers/test_gates.py::test_cbam_equals_timm_whole_and_in_parts",
    ],
    16: [
        "layers/test_channel.py::test_two_channels_worked_by_hand",
        "layers/test_gates.py::test_se_equals_timm",
        "layers/test_gates.py::test_eca_equals_timm",
        "layers/test_gates.py::test_cbam_equals_timm_whole_and_in_parts",
    ],
    17: [
        "layers/test_coattention.py::test_an_affinity_worked_by_hand",
        "layers/test_coattention.py::test_swapping_the_modalities_transposes_the_affinity",
        "layers/test_coattention.py::test_swapping_the_modalities_of_the_parallel_form_swaps_its_weights",
    ],
    18: [
        "training/test_self_critical.py::test_weighted_by_their_probability_all_outputs_give_the_exact_gradient",
        "training/test_self_critical.py::test_from_a_cross_entropy_start_the_expected_and_the_greedy_reward_rise",
        "training/test_self_critical.py::test_the_gradient_reaches_the_attention",
    ],
    19: [
        "layers/test_memory.py::test_the_best_k_are_the_dense_read_restricted_to_them",
        "layers/test_memory.py::test_two_hops_answer_questions_of_two_facts_and_one_hop_does_not",
        "models/test_memory_network.py::test_it_is_the_papers_loop_over_single_stories",
    ],
    20: ["models/test_han.py::test_it_is_a_loop_over_single_documents", "models/test_han.py::test_what_must_hold"],
}
SAID = {
    "torch.nn.MultiheadAttention": "nn.MultiheadAttention(",
    "Keras": "keras.layers",
    "SDPA": "scaled_dot_product_attention",
    "entmax": "from entmax import",
    "timm": "timm",
    "by hand": "by_hand",
    "enumeration": "exact",
    "loop": "loop",
}
"""A word of the last column, and what a test that has such an oracle holds."""


def test_twenty_rows_in_their_order() -> None:
    assert [row.number for row in ROWS] == list(range(1, 21)) == list(PROOFS)


@each
def test_a_row_says_what_its_page_says(row: Row) -> None:
    page = find(str(row.number))
    assert row.page == page.name
    assert re.split(r", | \(", row.name)[0] == page.title.split(" (")[0]
    on_the_page = plain(page.equation)
    parts = [plain(part) for part in (row.equation, *row.equation.split(", "))]
    assert any(part in on_the_page for part in parts if len(part) > 8), (row.equation, page.equation)


def plain(equation: str) -> str:
    """An equation without what only its setting changes."""
    for mark, means in {" ": "", "\n": ";", "√d_k": "√d", "₁": "_1", "₂": "_2"}.items():
        equation = equation.replace(mark, means)
    return equation


@each
def test_what_proves_it_is_a_test_that_is_there(row: Row) -> None:
    assert all(there(place) for place in PROOFS[row.number]), row.name
    texts = [inspect.getsource(inspect.getmodule(find(str(row.number)).check))]  # run by test_guide.py
    texts += [(TESTS / place.partition("::")[0]).read_text(encoding="utf-8") for place in PROOFS[row.number]]
    for word, held in SAID.items():
        assert word not in row.oracle or any(held in text for text in texts), (row.name, word)


@pytest.mark.plain
def test_the_one_line_that_needs_a_trained_model_fits_its_function() -> None:
    """The others run: see test_docs.py."""
    from regard.training import fine_tune

    (row,) = [row for row in ROWS if row.use.startswith("fine_tune")]
    call = ast.parse(row.use, mode="eval").body
    assert isinstance(call, ast.Call)
    inspect.signature(fine_tune).bind(*call.args, **{word.arg: word.value for word in call.keywords if word.arg})
