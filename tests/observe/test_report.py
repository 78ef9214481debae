"""The report's Python side: what travels, how exactly, how much of it, and that nothing in it can run."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import torch
from looks import HOSTILE, SENTENCE, SOURCE, TARGET, encoder, hostile, long, observed, scores, sentence, translation

from regard.errors import UserError
from regard.observe.colours import oklab, ramp
from regard.observe.record import Observed
from regard.observe.report import SCRIPTS, html
from regard.observe.report.calls import calls
from regard.observe.report.codes import HIDDEN, coded, planes, sixteen
from regard.observe.report.pack import pooled
from regard.observe.seen import Look, Seen
from regard.observe.words import word_groups


def payload(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def inflated(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def grid_of(call, head):
    """The matrix as the page reads it back."""
    shape = call["grid"]
    levels = inflated(head["data"])[: shape["rows"] * shape["columns"]].reshape(shape["rows"], shape["columns"])
    return np.where(levels == HIDDEN, np.nan, head["tops"]["grid"] * (levels / 254.0) ** call["exponent"])


class _Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


# ---- how exactly ----


@pytest.mark.parametrize("exponent", [2, 4])
def test_the_error_that_is_stated_is_the_error_that_is_made(exponent):
    weights = np.random.default_rng(0).dirichlet(np.full(97, 0.2), size=11)
    weights[2, 3] = np.nan
    code = coded(weights, exponent)
    back = np.where(code.levels == HIDDEN, np.nan, code.top * (code.levels / 254.0) ** exponent)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(weights))
    assert np.nanmax(np.abs(back - weights)) == pytest.approx(code.error, rel=1e-9)
    assert code.error <= code.top * exponent * 0.5 / 254 * 1.001


def test_levels_of_nothing_and_of_everything():
    assert coded(np.zeros((2, 3)), 2).levels.tolist() == [[0] * 3] * 2
    assert coded(np.full((1, 1), np.nan), 2).levels.tolist() == [[HIDDEN]]
    assert coded(np.ones((1, 1)), 2).levels.tolist() == [[254]]
    assert coded(np.zeros((0, 4)), 2).error == 0


def test_bytes_of_a_kind_stand_together():
    assert planes(np.array([0x010203, 0x0A0B0C]), 3) == bytes([1, 10, 2, 11, 3, 12])
    data, top = sixteen(np.array([0.0, 0.5, 1.5]))
    shares = np.frombuffer(data, np.uint8).reshape(2, 3).astype(int)
    np.testing.assert_allclose(top * (shares[0] * 256 + shares[1]) / 65535, [0, 0.5, 1.5], atol=1.5 / 131070)


def test_a_short_matrix_travels_whole_with_its_hidden_pairs():
    seen = sentence()
    page = payload(html(seen))
    for call, look in zip(page["calls"], seen, strict=True):
        assert call["grid"]["cell"] == [1, 1]
        for head, weights in zip(call["heads"], look.observed.weights[0].double().numpy(), strict=True):
            back = grid_of(call, head)
            hidden = ~np.tri(len(SENTENCE), dtype=bool)
            np.testing.assert_array_equal(np.isnan(back), hidden)
            assert np.nanmax(np.abs(back - weights)) <= head["error"] * 1.001 <= 0.0042


def test_the_strongest_are_read_back_within_what_sixteen_bits_hold():
    seen = encoder(1, 2, 111)
    (call,) = payload(html(seen))["calls"]
    topk = seen.looks[0].observed.topk
    k = call["k"]
    for number, head in enumerate(call["heads"]):
        cells = call["grid"]["rows"] * call["grid"]["columns"]
        data = inflated(head["data"])[cells:].astype(np.int64)
        steps = data[: 111 * k * call["bytes"]].reshape(call["bytes"], k, 111)
        positions = np.cumsum(sum(steps[i] * 256 ** (call["bytes"] - 1 - i) for i in range(call["bytes"])), 0).T
        shares = data[111 * k * call["bytes"] :][: 2 * 111 * k].reshape(2, k, 111)
        weights = ((shares[0] * 256 + shares[1]) * head["tops"]["strongest"] / 65535).T
        order = topk.positions[0, number].argsort(-1)
        np.testing.assert_array_equal(positions, topk.positions[0, number].gather(-1, order))
        np.testing.assert_allclose(weights, topk.weights[0, number].gather(-1, order), atol=8e-6)


def test_pooled_cells_are_means_of_the_pairs_the_mask_allows():
    weights = torch.softmax(scores(1, 11), -1)[0].double().numpy()
    weights[0][~np.tri(11, dtype=bool)] = np.nan
    found = pooled(weights, 4, 3)
    largest = pooled(weights, 4, 3, largest=True)
    assert found.shape == (1, 3, 4)
    for i in range(3):
        for j in range(4):
            cell = weights[0, 4 * i : 4 * i + 4, 3 * j : 3 * j + 3]
            if np.isnan(cell).all():
                assert np.isnan(found[0, i, j])
                assert np.isnan(largest[0, i, j])
            else:
                assert found[0, i, j] == pytest.approx(np.nanmean(cell))
                assert largest[0, i, j] == np.nanmax(cell)


# ---- how much ----


def test_twelve_by_twelve_heads_at_512_stay_under_five_megabytes():
    page = html(encoder())
    assert len(page.encode()) <= 5_000_000
    assert len(payload(page)["calls"]) == 12
    assert all(call["k"] >= 3 and call["grid"]["rows"] >= 48 for call in payload(page)["calls"])


def test_a_hundred_thousand_tokens_fit_too():
    page = html(long())
    assert len(page.encode()) <= 5_000_000
    (call,) = payload(page)["calls"]
    assert (call["queries"], call["k"], call["grid"]["rows"]) == (100_000, 8, 256)


def test_whole_matrices_are_pooled_where_they_do_not_fit():
    seen = Seen([Look("a", 0, observed(scores(6, 300)))])
    fine, coarse = (payload(html(seen, megabytes=megabytes))["calls"][0] for megabytes in (5, 0.25))
    assert fine["grid"]["cell"] == [1, 1]
    assert min(coarse["grid"]["cell"]) > 1
    assert len(html(seen, megabytes=0.25)) < 250_000


def test_the_script_is_small_and_reads_from_no_network():
    page = files("regard.observe.report").joinpath("page")
    script = "".join(page.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    assert len(script.encode()) < 100_000
    assert {entry.name for entry in page.iterdir()} == {*SCRIPTS, "page.css", "page.html"}
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|innerHTML|insertAdjacentHTML|eval\(", script)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", script)


# ---- nothing in it can run ----


def test_hostile_words_are_data_and_nothing_else():
    page = html(hostile(), title="</title><script>window.hacked=1</script>\u202e@@script@@")
    tags = [tag for tag, _ in _Tags(page).found]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert not [attrs for _, attrs in _Tags(page).found if any(name.startswith("on") for name in attrs)]
    assert "hacked=1>" not in page
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert not set("<>&\u202e\x00\x1b") & set(data)
    texts = json.loads(zlib.decompress(base64.b64decode(payload(page)["texts"])))
    assert texts[0]["tokens"][0] == "</script>"
    assert texts[0]["tokens"][8] == "x" * 10_000
    assert texts[0]["tokens"][2] == r"\u202eevil"
    assert texts[0]["tokens"][3] == r"\x00\x1b[31m\n"
    assert len(texts[0]["tokens"]) == len(HOSTILE)


def test_the_policy_lets_only_the_pages_own_script_and_style_work():
    page = html(sentence())
    (policy,) = [
        attrs["content"] for _, attrs in _Tags(page).found if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].startswith("'sha256-")
    assert rules["style-src"].startswith("'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy.replace("http-equiv", "")


def test_the_same_twice_is_the_same_file(tmp_path):
    for name in ("a.html", "b.html"):
        sentence().save(tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_notebook_shows_it_in_a_sandbox():
    shown = sentence()._repr_html_()
    ((tag, attrs),) = _Tags(shown).found
    assert tag == "iframe"
    assert attrs["sandbox"] == "allow-scripts allow-downloads"
    assert attrs["srcdoc"] == html(sentence())


# ---- what is put together ----


def test_the_steps_of_a_generation_are_one_matrix():
    found = {call.name: call for call in calls(translation(), 0)}
    inward, across = found["decoder.layers.0.self_attn"], found["decoder.layers.0.encoder_attn"]
    n = len(TARGET)
    assert (inward.queries, inward.keys, inward.steps) == (n, n, [1] * n)
    expected = torch.softmax(scores(2, n, 1).masked_fill(~torch.ones(n, n, dtype=torch.bool).tril(), -torch.inf), -1)
    np.testing.assert_allclose(np.nan_to_num(inward.weights), expected[0], atol=1e-6)
    np.testing.assert_array_equal(np.isnan(inward.weights[0]), ~np.tri(n, dtype=bool))
    np.testing.assert_allclose(inward.mass, expected[0].sum(-2), rtol=1e-5)
    assert (across.queries, across.keys) == (n, len(SOURCE))


def test_a_prompt_and_its_continuation_are_one_matrix_of_the_strongest():
    whole = observed(scores(2, 9), torch.ones(9, 9, dtype=torch.bool).tril()[None, None], topk=3, weights=False)

    def part(start, end):
        e = scores(2, 9)[:, :, start:end, :end]
        allowed = torch.ones(9, 9, dtype=torch.bool).tril()[None, None, start:end, :end]
        return observed(e.clone(), allowed, topk=3, weights=False)

    looks = [Look("a", step, part(*span)) for step, span in enumerate([(0, 6), (6, 7), (7, 8), (8, 9)])]
    (call,) = calls(Seen(looks), 0)
    assert call.steps == [6, 1, 1, 1]
    np.testing.assert_array_equal(call.positions, whole.topk.positions[0])
    np.testing.assert_allclose(call.strongest, whole.topk.weights[0], atol=1e-6)
    np.testing.assert_allclose(call.entropy, whole.entropy[0], atol=1e-5)


def test_calls_that_do_not_continue_each_other_stay_apart():
    looks = [Look("a", step, observed(scores(2, size))) for step, size in enumerate([5, 5, 7])]
    assert [(call.number, call.queries) for call in calls(Seen(looks), 0)] == [(0, 5), (1, 5), (2, 7)]


def test_a_query_that_may_see_nothing_is_hidden_whole():
    allowed = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    allowed[..., 2, :] = False
    (call,) = calls(Seen([Look("a", 0, observed(scores(1, 4), allowed))]), 0)
    assert np.isnan(call.weights[0, 2]).all()
    assert call.entropy[0, 2] == 0
    html(Seen([Look("a", 0, observed(scores(1, 4), allowed))]))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 2, 1, 7), (1, 1, 0, 3), (1, 1, 97, 111)])
def test_odd_sizes(shape):
    e = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    (call,) = payload(html(Seen([Look("a", 0, observed(e, cross=True), cross=True)])))["calls"]
    assert (call["queries"], call["keys"]) == shape[2:]


def test_the_row_of_the_batch_is_the_one_asked_for():
    both = torch.cat([scores(1, 5), scores(1, 5, 4)])
    seen = Seen([Look("a", 0, observed(both))])
    for row in (0, 1):
        np.testing.assert_allclose(calls(seen, row)[0].weights, torch.softmax(both[row], -1), atol=1e-6)
    with pytest.raises(ValueError, match=r"row 2: a was called with 2 batch rows; expected 0 to 1"):
        html(seen, row=2)


def test_which_text_is_whose():
    page = payload(html(translation()))
    assert {call["name"]: (call["text"], call["keyText"]) for call in page["calls"]} == {
        "encoder.layers.0.self_attn": (1, 1),
        "decoder.layers.0.self_attn": (0, 0),
        "decoder.layers.0.encoder_attn": (0, 1),
    }
    assert payload(html(Seen(sentence().looks, tokens=["too", "few"])))["calls"][0]["text"] == -1


def test_sinks_are_named():
    e = torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    e[..., 3] += 6
    (call,) = payload(html(Seen([Look("a", 0, observed(e))])))["calls"]
    assert call["heads"][0]["sinks"] == [3]


def test_nothing_is_averaged_over_heads_or_layers():
    seen = sentence(2, 3)
    for call, look in zip(payload(html(seen))["calls"], seen, strict=True):
        for number, head in enumerate(call["heads"]):
            assert head["entropy"] == pytest.approx(float(look.observed.entropy[0, number].mean()))


@pytest.mark.parametrize(
    ("tokens", "groups"),
    [
        (["[CLS]", "tir", "##ed", "ox", "##en", "##s"], [[0], [1, 2], [3, 4, 5]]),
        (["<s>", "▁tir", "ed", "▁ox", "</s>"], [[0], [1, 2], [3], [4]]),
        (["The", "Ġan", "imal", "Ċ", "x"], [[0], [1, 2], [3, 4]]),
        (["ti@@", "red", "ox"], [[0, 1], [2]]),
        (["plain", "words"], None),
        ([], None),
    ],
)
def test_words_are_put_together_by_the_marks_of_their_tokeniser(tokens, groups):
    assert word_groups(tokens) == groups


# ---- colours ----


@pytest.mark.parametrize("dark", [False, True])
def test_equal_steps_look_equal_and_lightness_never_turns(dark):
    lab = oklab(ramp(dark))
    lightness = lab[:, 0] if dark else lab[::-1, 0]
    assert (np.diff(lightness) > -0.004).all()
    assert lightness[-1] - lightness[0] > 0.7
    steps = np.linalg.norm(np.diff(lab[::5], axis=0), axis=1)
    assert steps.max() / steps.min() < 1.5


# ---- what cannot be done is said ----


def test_what_cannot_be_saved_is_said(tmp_path):
    with pytest.raises(UserError, match=r"saved as \.html, not \.pdf"):
        sentence().save(tmp_path / "r.pdf")
    with pytest.raises(UserError, match="there is no folder"):
        sentence().save(tmp_path / "absent" / "r.html")
    with pytest.raises(UserError, match=r"nothing was seen.*\(not read: pool: compiled\)"):
        Seen(unread={"pool": "compiled"}).save(tmp_path / "r.html")


def test_statistics_alone_can_be_shown_too():
    bare = Observed((1, 1, 4, 4), torch.zeros(1, 1, 4), entropy=torch.ones(1, 1, 4))
    (call,) = payload(html(Seen([Look("a", 0, bare)])))["calls"]
    assert (call["grid"], call["k"], call["strips"]) == (None, 0, ["entropy"])
