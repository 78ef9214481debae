"""`regard train`: data, settings and resuming reach the trainer as given."""

import shlex

import pytest

pytest.importorskip("yaml")

import yaml

from regard.config import ModelConfig, Settings, TrainConfig


def test_pairs_alone_are_enough(regard, trainer, pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = regard("train", "pairs.tsv")
    assert outcome.code == 0, outcome.err
    (call,) = trainer.calls
    assert call.train.source == ["a b", "e"]
    assert call.train.target == ["c d", "f"]
    assert call.valid is None
    assert (call.settings.model, call.settings.train) == (ModelConfig(), TrainConfig())
    assert (str(call.folder), call.resume, call.quiet) == ("regard-model", False, False)
    assert "stopped: all steps done" in outcome.out
    assert "Best: step 5: validation BLEU 12.50 (greedy)  tok:13a" in outcome.out
    assert "regard translate --model regard-model" in outcome.out


def test_two_files_and_validation(regard, trainer, tmp_path):
    for name, text in (("a.en", "one\ntwo\n"), ("a.fr", "un\ndeux\n"), ("v.tsv", "three\ttrois\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = ["--source", tmp_path / "a.en", "--target", tmp_path / "a.fr", "--valid", tmp_path / "v.tsv"]
    assert regard("train", *files, "--out", tmp_path / "m").code == 0
    assert trainer.calls[0].train.target == ["un", "deux"]
    assert trainer.calls[0].valid.source == ["three"]


def test_options_are_settings_by_name_and_win_over_the_file(regard, trainer, pairs, tmp_path):
    (tmp_path / "c.yaml").write_text("model:\n  cell: lstm\n  embedding: 32\ntrain:\n  seed: 5\n  clip: 2\n")
    outcome = regard(
        "train", pairs, "--out", tmp_path / "m", "--config", tmp_path / "c.yaml",
        "--attention", "local-p", "--embedding", 64, "--encoder-hidden", 16, "--learning-rate", 0.01, "--steps", 3,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    settings = trainer.calls[0].settings
    assert settings.model == ModelConfig(attention="local-p", cell="lstm", embedding=64, encoder_hidden=16)
    assert settings.train == TrainConfig(seed=5, clip=2.0, learning_rate=0.01, steps=3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train:\n  learning_rat: 1\n", "learning_rate"),
        ("modle:\n  cell: gru\n", "model"),
        ("model: gru\n", "model"),
        ("- a\n", "expected settings"),
        ("a: [", "not YAML"),
        ("train:\n  seed: 1\n  seed: 2\n", "'seed' is given twice"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_wrong_settings_are_one_line(regard, trainer, pairs, tmp_path, text, says):
    (tmp_path / "c.yaml").write_text(text)
    outcome = regard("train", pairs, "--out", tmp_path / "m", "--config", tmp_path / "c.yaml", "--seed", 1)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert says in outcome.err
    assert not trainer.calls


def test_a_wrong_value_names_the_choices(regard, trainer, pairs, tmp_path):
    outcome = regard("train", pairs, "--attention", "aditive", "--out", tmp_path / "m")
    assert outcome.code == 2
    assert "'additive'" in outcome.err


def test_a_missing_config_is_one_line(regard, trainer, pairs, tmp_path):
    outcome = regard("train", pairs, "--config", tmp_path / "absent.yaml", "--out", tmp_path / "m")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a\tb\nno tab\n", "line 2"), (b"a\tb\n\xff\tb\n", "byte 1"), (b"", "empty")],
)
def test_wrong_data_is_one_line(regard, trainer, tmp_path, content, says):
    (tmp_path / "p.tsv").write_bytes(content)
    outcome = regard("train", tmp_path / "p.tsv", "--out", tmp_path / "m")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert says in outcome.err


def test_an_interruption_says_how_to_go_on_and_that_is_enough(regard, trainer, pairs, tmp_path):
    trainer.raises = trainer.Interrupted()
    outcome = regard("train", pairs, "--valid", pairs, "--out", tmp_path / "my model", "--seed", 3, "--cell", "lstm")
    assert outcome.code == 130
    assert outcome.err.count("\n") == 1
    command = shlex.split(outcome.err.split("go on with: ")[1])
    assert command == ["regard", "train", "--resume", "--out", str(tmp_path / "my model")]
    trainer.raises = None
    assert regard(*command[1:]).code == 0
    first, second = trainer.calls
    assert second.resume
    assert (second.settings, second.folder, second.origin) == (first.settings, first.folder, first.origin)
    assert (second.train, second.valid) == (first.train, first.valid)


def test_options_given_when_resuming_reach_the_trainer(regard, trainer, pairs, tmp_path):
    regard("train", pairs, "--out", tmp_path / "m", "--cell", "lstm")
    assert regard("train", "--resume", "--out", tmp_path / "m", "--epochs", 50).code == 0
    assert (trainer.calls[1].settings.model.cell, trainer.calls[1].settings.train.epochs) == ("lstm", 50)


def test_resuming_without_knowing_the_pairs_asks_for_them(regard, trainer, pairs, tmp_path):
    regard("train", pairs, "--out", tmp_path / "m")
    (tmp_path / "m" / "training" / "data.json").write_text("{}")
    outcome = regard("train", "--resume", "--out", tmp_path / "m")
    assert (outcome.code, len(trainer.calls)) == (2, 1)
    assert "give them again" in outcome.err
    assert regard("train", pairs, "--resume", "--out", tmp_path / "m").code == 0


def test_nothing_to_resume_is_one_line(regard, trainer, tmp_path):
    outcome = regard("train", "--resume", "--out", tmp_path / "absent")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


@pytest.fixture
def public(tmp_path):
    """Local copies of Multi30k's training and validation captions, two of each."""
    folder = tmp_path / "data" / "multi30k"
    folder.mkdir(parents=True)
    for split in ("train", "val"):
        for language in ("en", "de"):
            (folder / f"{split}.{language}").write_text(f"{split} {language} 1\n{split} {language} 2\n")
    return tmp_path / "data"


def test_a_public_set_by_name_trains_and_validates_and_is_remembered(regard, trainer, public, tmp_path):
    given = ["--data", "multi30k", "--languages", "de-en", "--data-dir", public]
    assert regard("train", *given, "--out", tmp_path / "m").code == 0
    assert regard("train", "--resume", "--out", tmp_path / "m").code == 0
    for call in trainer.calls:
        assert call.train.source == ["train de 1", "train de 2"]
        assert call.valid.target == ["val en 1", "val en 2"]
        assert call.origin["corpus"] == "multi30k"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pairs.tsv", "--data", "multi30k"], "both --data multi30k and pairs.tsv"),
        (["--data", "multi31k"], "did you mean 'multi30k'"),
        (["--data", "tatoeba"], "regard data fetch tatoeba"),
        (["--data", "multi30k", "--languages", "en-es"], "multi30k has en, de, fr"),
    ],
)
def test_a_public_set_that_cannot_be_had(regard, trainer, public, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    outcome = regard("train", *arguments, "--data-dir", public, "--out", "m")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert says in outcome.err
    assert not (tmp_path / "m").exists()


def test_several_seeds_are_trained_and_resumed_by_the_folder_alone(regard, trainer, pairs, tmp_path):
    trainer.raises = trainer.Interrupted()
    stopped = regard("train", pairs, "--seeds", "4,7", "--out", tmp_path / "m", "--cell", "lstm")
    assert stopped.code == 130
    command = shlex.split(stopped.err.split("go on with: ")[1])
    assert command == ["regard", "train", "--resume", "--out", str(tmp_path / "m")]
    trainer.raises = None
    outcome = regard(*command[1:])
    assert outcome.code == 0, outcome.err
    first, second = trainer.calls
    assert (first.seeds, first.resume, second.seeds, second.resume) == ([4, 7], False, [4, 7], True)
    assert second.settings.model == first.settings.model == ModelConfig(cell="lstm")
    assert (second.train, second.origin) == (first.train, first.origin)
    assert "seed-4: mean of the weights of steps 4, 5: validation BLEU 12.50 (greedy)" in outcome.out
    assert "over 2 seeds: 12.50 ± 0.25 (sample standard deviation)" in outcome.out


@pytest.mark.parametrize(("text", "wanted"), [("3", [1, 2, 3]), ("3,1", [3, 1]), ("5,", [5]), ("0, 9", [0, 9])])
def test_a_number_of_seeds_or_the_seeds(regard, trainer, pairs, tmp_path, text, wanted):
    assert regard("train", pairs, "--seeds", text, "--out", tmp_path / "m").code == 0
    assert trainer.calls[0].seeds == wanted


@pytest.mark.parametrize(
    "given",
    [["--seeds", "a"], ["--seeds=0"], ["--seeds=1,1"], ["--seeds=-2,1"], ["--seeds="], ["--seeds=2", "--seed=3"]],
)
def test_other_seeds_are_one_line(regard, trainer, pairs, tmp_path, given):
    outcome = regard("train", pairs, *given, "--out", tmp_path / "m")
    assert (outcome.code, outcome.err.count("\n"), trainer.calls) == (2, 1, [])


def test_the_reference_names_every_setting_and_reads_back_as_the_defaults(regard, trainer, pairs, tmp_path):
    printed = regard("train", "--print-config")
    assert printed.code == 0
    (tmp_path / "c.yaml").write_text(printed.out, encoding="utf-8")
    mapping = yaml.safe_load(printed.out)
    assert mapping == Settings().to_mapping()
    for line in printed.out.splitlines():
        assert not line.startswith("  ") or len(line.split("#")[1].strip()) > 8, f"no comment: {line}"
    assert regard("train", pairs, "--out", tmp_path / "m", "--config", tmp_path / "c.yaml").code == 0
    assert trainer.calls[0].settings == Settings()


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", ".001", "0.001"])
def test_a_number_is_a_number_however_it_is_written(regard, trainer, pairs, tmp_path, number):
    (tmp_path / "c.yaml").write_text(f"train:\n  learning_rate: {number}\n")
    outcome = regard("train", pairs, "--out", tmp_path / "m", "--config", tmp_path / "c.yaml")
    assert outcome.code == 0, outcome.err
    assert trainer.calls[0].settings.train.learning_rate == 0.001
