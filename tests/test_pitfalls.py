"""What users of other attention software were bitten by, and the tests that keep it from happening here.

An index, for who wonders whether a pitfall is covered, with the tests that had no better home.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

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
    # Hugging Face
    "an argument that changes the result is passed over": [
        "integrations/test_transformers.py::test_outputs_and_gradients_are_those_of_the_eager_form",
        "integrations/test_transformers.py::test_what_would_change_the_result_and_is_not_known_is_refused_by_name",
    ],
    "a name registered for attention alone gets no masks; the registry is the process'": [
        "integrations/test_transformers.py::test_registering_twice_is_once_and_what_was_there_comes_back",
        "integrations/test_transformers.py::test_several_threads_compute_at_once",
        "integrations/test_transformers.py::test_a_mask_of_ones_own_is_taken_as_it_is",
    ],
    # Sequence to sequence
    "padding is read, and a translation depends on the batch it sat in": [
        "models/test_encoder.py::test_each_sentence_is_encoded_as_if_alone",
        "models/test_seq2seq.py::test_a_batch_is_its_sentences_in_loss_and_gradient",
        "decoding/test_search.py::test_a_sentence_comes_out_the_same_alone_in_any_batch_and_in_any_order",
        "decoding/test_constraints.py::test_the_same_alone_in_any_batch_and_in_any_order",
        "test_translator.py::test_the_same_alone_in_any_batch_in_any_order_and_from_several_threads",
    ],
    "the encoder's last state is a padded one, the cell or the backward direction is dropped": [
        "models/test_encoder.py::test_each_sentence_is_encoded_as_if_alone",
        "models/test_recurrence.py::test_states_and_gradients_are_torchs",
        "models/test_recurrence.py::test_what_lies_beyond_a_sentence_is_never_read",
    ],
    "attention out of beam search is missing, or another hypothesis' own": [
        "decoding/test_search.py::test_attention_is_that_of_teacher_forcing_the_output",
        "decoding/test_constraints.py::test_whatever_is_asked_scores_and_attention_are_those_of_teacher_forcing",
        "models/test_seq2seq.py::test_states_follow_their_parents",
    ],
    "a beam that stops too early, forgets what was cut, or counts a length without its end": [
        "decoding/test_search.py::test_a_hypothesis_has_the_models_own_score",
        "decoding/test_search.py::test_stopping_early_loses_nothing",
        "decoding/test_search.py::test_a_model_that_never_ends_is_cut_and_still_answers",
        "decoding/test_penalties.py::test_the_best_by_the_formula_is_found",
        "decoding/test_candidates.py::test_the_best_are_those_of_sorting_everything",
    ],
    "what is excluded comes all the same": [
        "decoding/test_constraints.py::test_blocking_takes_words_away_and_leaves_the_others_as_they_are",
        "decoding/test_constraints.py::test_with_everything_blocked_the_output_ends",
    ],
    "an end mark is fed as input; a validation loss is no perplexity": [
        "data/test_batches.py::test_teacher_forcing_shifts_by_one_and_feeds_no_end_mark",
        "models/test_seq2seq.py::test_teacher_forcing_says_what_decoding_step_by_step_says",
        "training/test_validation.py::test_loss_is_minus_log_p_of_the_targets_per_token_with_their_ends",
    ],
    "a step of several batches is a mean of their means, or drops the last": [
        "training/test_accumulate.py::test_the_loss_is_a_mean_over_the_tokens_of_all_batches",
        "training/test_together.py::test_processes_together_train_as_one_does",
        "data/test_batches.py::test_steps_of_all_processes_hold_every_pair_once_an_epoch_and_none_is_left_over",
    ],
    "pairs and lines vanish in silence": [
        "data/test_batches.py::test_an_epoch_holds_every_pair_once_and_no_batch_too_large",
        "data/test_pairs.py::test_pairs_with_a_blank_side_are_left_out_and_named",
        "training/test_fit.py::test_pairs_left_out_are_named",
        "cli/test_translate_whole.py::test_lines_in_are_lines_out_for_every_way_of_decoding",
        "cli/test_translate.py::test_nothing_is_lost_when_input_and_output_are_one_file_or_the_input_is_missing",
    ],
    "BLEU of tokenised text passes for BLEU": [
        "evaluation/test_scores.py::test_signature_is_printed_beside_the_score",
        "cli/test_evaluate.py::test_scores_are_sacrebleus_with_signatures",
    ],
    "a resumed run is another run": [
        "training/test_fit.py::test_a_stopped_run_goes_on_as_if_never_stopped",
        "training/test_fine_tuning.py::test_a_stopped_run_goes_on_as_if_never_stopped",
        "training/test_killed.py::test_killed_at_any_time_it_ends_as_if_never_stopped",
        "training/test_killed.py::test_killed_between_any_two_files_it_ends_as_if_never_stopped",
    ],
    "reading a checkpoint runs its code": [
        "test_pitfalls.py::test_nothing_that_is_read_can_run_code",
        "training/test_checkpoint.py::test_what_cannot_be_kept_is_refused",
        "cli/test_train.py::test_wrong_settings_are_one_line",
        "test_folder.py::test_damaged_weights_are_named",
    ],
    "a misspelt setting passes in silence": [
        "test_config.py::test_what_is_not_a_setting_is_refused_by_name",
        "cli/test_train.py::test_wrong_settings_are_one_line",
        "cli/test_app.py::test_wrong_options_are_one_line_that_names_the_right_one",
    ],
    "self-critical training forgets the end, trains its baseline, or counts the wrong documents": [
        "training/test_self_critical.py::test_the_end_mark_is_scored",
        "training/test_self_critical.py::test_what_follows_the_first_end_plays_no_part",
        "training/test_self_critical.py::test_baseline_and_samples_are_made_in_evaluation_mode_and_without_gradient",
        "training/test_self_critical.py::test_from_a_cross_entropy_start_the_expected_and_the_greedy_reward_rise",
        "training/test_fine_tuning.py::test_document_frequencies_are_of_the_training_pairs",
        "evaluation/test_cider.py::test_it_gives_the_numbers_of_the_authors_program",
    ],
    "nobody knows whether a picture's rows were read or written": [
        "observe/test_figure.py::test_labels_scale_and_caption_are_there",
        "observe/test_words.py::test_sum_over_key_pieces_and_mean_over_query_pieces",
    ],
    # Pictures and pages
    "an exported page wants the network": [
        "observe/test_report.py::test_the_script_is_small_and_reads_from_no_network",
        "observe/test_report.py::test_the_policy_lets_only_the_pages_own_script_and_style_work",
    ],
    "a token breaks the page, or runs": [
        "observe/test_report.py::test_hostile_words_are_data_and_nothing_else",
        "observe/test_report_browser.py::test_hostile_tokens_are_text_everywhere",
        "observe/test_report_browser.py::test_the_policy_stops_what_would_run_all_the_same",
        "observe/test_figure.py::test_hostile_words_are_text_and_nothing_else",
    ],
    "a few hundred tokens are too many": [
        "observe/test_report.py::test_a_hundred_thousand_tokens_fit_too",
        "observe/test_report_browser.py::test_a_hundred_thousand_tokens_open_pan_and_zoom",
    ],
    "hidden scales, averaged heads, no keyboard, no words for the picture, no way to save it": [
        "observe/test_report_browser.py::test_the_scale_has_numbers_and_says_how_exact_they_are",
        "observe/test_report.py::test_nothing_is_averaged_over_heads_or_layers",
        "observe/test_report_browser.py::test_the_keyboard_does_it_all",
        "observe/test_report_browser.py::test_axe_finds_nothing",
        "observe/test_report_browser.py::test_pictures_are_saved_as_png_and_svg",
    ],
    "where information was read passes for why": [
        "observe/test_report_browser.py::test_what_attention_does_not_tell_is_said",
        "observe/test_report_browser.py::test_sinks_are_marked",
    ],
}
CODE = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
"""Modules that run what they read."""
CALLS = {"torch.load", "np.load", "numpy.load", "yaml.unsafe_load", "eval", "exec"}


@pytest.mark.parametrize("pitfall", HELD)
def test_what_keeps_it_from_happening_is_there(pitfall: str) -> None:
    for place in HELD[pitfall]:
        assert there(place), place


def test_nothing_that_is_read_can_run_code() -> None:
    house = Path(regard.__file__).parent
    for path in set(house.rglob("*.py")) - set((house / "guide").rglob("*.py")):  # the guide runs its own pages
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not CODE & {name.name.partition(".")[0] for name in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in CODE, path
            elif isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in CALLS, f"{path}: line {node.lineno}"


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
