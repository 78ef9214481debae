"""What users of other attention software were bitten by, and the tests that keep it from happening here.

An index, for who wonders whether a pitfall is covered, with the tests that had no better home.
"""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from named import there

import regard
from regard import plan, window

HELD = {
    "a row with nothing to attend to gives NaN, forward or backward": [
        "test_attend.py::test_an_empty_row_has_zero_weights_and_no_gradient_whatever_is_asked_of_it",
        "kernels/every/test_hidden.py::test_a_query_that_may_attend_to_nothing_gets_zero_and_gives_gradient_zero",
        "equation/normalisers/test_every.py::test_an_empty_row_has_weights_zero_and_gradients_zero",
        "support/cases.py::gives_nothing_for_an_empty_row",
    ],
    "what a mask hides comes back as NaN, for 0 · NaN is NaN": [
        "kernels/every/test_hidden.py::test_what_no_query_may_see_changes_no_bit_and_gets_gradient_zero",
        "support/cases.py::never_reads_what_lies_beyond_the_lengths",
    ],
    "a mask's True means the opposite elsewhere": [
        "test_attend.py::test_true_means_may_attend",
        "equation/test_masks.py::test_true_means_may_attend_in_every_mask",
        "layers/test_multihead.py::test_torchs_weights_load_and_give_its_numbers",
        "layers/test_multihead.py::test_torchs_masks_mean_the_opposite_and_are_inverted_once",
        "test_pitfalls.py::test_what_true_means_is_said_where_masks_come_in",
    ],
    "causality takes the place of a mask that was also given": [
        "test_attend.py::test_causal_and_an_explicit_mask_both_hold",
        "layers/test_multihead.py::test_a_masked_layers_own_mask_holds_beside_a_given_one",
        "layers/test_sparse.py::test_a_pattern_holds_beside_another_mask_and_top_k_among_what_it_admits",
    ],
    "causality is lost where attention is registered with Hugging Face": [
        "integrations/test_transformers.py::test_a_call_without_a_mask_is_causal_where_it_says_so_and_nowhere_else",
        "integrations/test_transformers.py::test_outputs_and_gradients_are_those_of_the_eager_form",
    ],
    "causal with fewer queries than keys: which query stands where?": [
        "test_attend.py::test_the_last_query_is_aligned_with_the_last_key",
        "equation/test_masks.py::test_the_last_query_stands_on_the_last_key",
        "kernels/every/test_equation.py::test_a_kernel_agrees_with_the_equation_in_float64_or_says_why_not",
    ],
    "one number for a window means five things": [
        "equation/test_masks.py::test_a_window_is_left_and_right_inclusive",
        "test_pitfalls.py::test_a_window_is_always_two_numbers",
    ],
    "flags change the type that is returned": [
        "layers/test_return_types.py::test_a_call_says_one_type_that_it_returns_and_takes_no_flag",
        "layers/test_return_types.py::test_no_parameter_of_a_layers_call_changes_the_type_it_returns",
        "layers/test_return_types.py::test_no_parameter_of_the_door_changes_the_type_or_the_shape_it_returns",
    ],
    "heads are averaged by default": [
        "layers/test_return_types.py::test_heads_are_never_averaged",
        "layers/test_multihead.py::test_per_head_weights_and_scores",
    ],
    "the fast path and the plain path drift apart": [
        "kernels/every/test_equation.py::test_a_kernel_agrees_with_the_equation_in_float64_or_says_why_not",
        "kernels/every/test_equation.py::test_a_kernel_errs_at_most_twice_as_much_as_the_plain_computation",
        "layers/test_multihead.py::test_no_path_drifts_from_another",
    ],
    "Keras' AdditiveAttention has no projections, so it is not Bahdanau's": [
        "layers/test_source.py::test_additive_equals_keras_fed_the_projections",
        "layers/test_source.py::test_keras_additive_attention_fed_the_states_themselves_is_another_mechanism",
    ],
    "a mask test whose mask hides nothing tests nothing": [
        "kernels/every/test_equation.py::test_every_mask_of_a_case_hides_something_and_not_everything",
        "layers/test_multihead.py::test_a_mask_of_this_file_hides_something_and_changes_the_result",
    ],
    "a failure downgraded to a warning tests nothing": [
        "layers/test_checks.py::test_a_check_fails_where_it_should",
        "layers/test_checks.py::test_every_check_has_a_fault_that_it_finds",
    ],
    "hooks collect nothing once attention is fused": [
        "watch/test_seen.py::test_our_layers_are_seen_where_they_stand_with_every_step",
        "watch/test_unread.py::test_who_saw_nothing_is_told_why",
        "watch/test_unread.py::test_attention_by_hand_is_named",
    ],
    "the log-sum-exp is returned in the place of the weights": [
        "test_attend.py::test_weights_scores_and_statistics_are_what_their_names_say",
        "layers/test_multihead.py::test_weights_are_weights_and_the_log_sum_exp_is_another_thing",
    ],
    "a sliding window given as a dense mask saves neither time nor memory": [
        "test_pitfalls.py::test_a_window_costs_what_it_sees_and_a_dense_one_is_cut_into_the_tiles_it_sees",
        "kernels/test_banded.py::test_nothing_so_long_as_the_keys_times_the_window_is_kept_for_backward",
        "layers/test_source.py::test_local_attention_over_a_long_source_builds_nothing_that_grows_with_its_square",
    ],
}


@pytest.mark.parametrize("pitfall", HELD)
def test_what_keeps_it_from_happening_is_there(pitfall: str) -> None:
    for place in HELD[pitfall]:
        assert there(place), place


def test_what_true_means_is_said_where_masks_come_in() -> None:
    from regard.layers import MultiHeadAttention, torch_masks

    for text in (regard.attend.__doc__, MultiHeadAttention.__doc__, MultiHeadAttention.forward.__doc__):
        assert re.search("True(: | means: )may attend", text)
    for text in (MultiHeadAttention.__doc__, MultiHeadAttention.from_torch.__doc__):
        assert "the opposite" in text
    assert "inverts" in torch_masks.__doc__


def test_a_window_is_always_two_numbers() -> None:
    assert [p.default for p in inspect.signature(window).parameters.values()] == [inspect.Parameter.empty] * 2
    with pytest.raises(TypeError):
        window(3)


def test_a_window_costs_what_it_sees_and_a_dense_one_is_cut_into_the_tiles_it_sees() -> None:
    from regard.equation.masks import dense
    from regard.kernels.blocksparse import cut

    T = 4096
    q, place = torch.empty(1, 2, T, 64, device="meta"), torch.arange(T)
    whole, near = plan(q, q, q), plan(q, q, q, mask=window(64, 64))
    assert near.kernel == "banded"
    assert near.flops < whole.flops / 15
    band = (place[:, None] - place).abs() <= 64
    assert plan(q, q, q, mask=band.to("meta")).kernel == "blocksparse"
    strips = cut(dense(band), (1, 1, T, T), 64)
    assert sum(strip.tiles * strip.height * strip.keys.width for strip in strips) < T * T / 15
