import dataclasses

import pytest

from regard.config import ModelConfig, Settings, TrainConfig, nearest
from regard.errors import UserError


def test_settings_come_back_from_their_mapping():
    settings = Settings(ModelConfig(attention="local-p", layers=2), TrainConfig(steps=7, learning_rate=2e-3))
    assert Settings.from_mapping(settings.to_mapping()) == settings
    assert Settings.from_mapping({}) == Settings()
    assert Settings.from_mapping({"model": None}) == Settings()


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"modle": {}}, r"unknown setting 'modle' in settings \(did you mean 'model'\?\)"),
        ({"model": {"dropuot": 0.1}}, r"unknown setting 'dropuot' in model \(did you mean 'dropout'\?\)"),
        ({"train": {"q": 1}}, r"unknown setting 'q' in train \(known: epochs, "),
        ({"model": {"attention": "aditive"}}, r"expected one of none, additive, .* \(did you mean 'additive'\?\)"),
        ({"model": {"layers": "two"}}, "model.layers: expected a whole number, got 'two'"),
        ({"model": {"layers": True}}, "expected a whole number"),
        ({"model": {"layers": 0}}, "layers: expected at least 1, got 0"),
        ({"model": {"dropout": 1}}, "dropout: expected from 0 up to"),
        ({"train": {"learning_rate": "1e-3"}}, "learning_rate: expected a number"),
        ({"train": {"steps": -1}}, "steps: expected at least 1, or nothing"),
        ({"model": [1]}, "model: expected a mapping"),
    ],
)
def test_what_is_not_a_setting_is_refused_by_name(mapping, message):
    with pytest.raises(UserError, match=message):
        Settings.from_mapping(mapping)


def test_a_whole_number_serves_as_a_number():
    assert Settings.from_mapping({"train": {"learning_rate": 1}}).train.learning_rate == 1.0


@pytest.mark.parametrize(
    ("attention", "order", "feeding"),
    [("none", "bahdanau", False), ("additive", "bahdanau", False), ("dot", "luong", True), ("local-p", "luong", True)],
)
def test_each_attention_has_its_own_order(attention, order, feeding):
    config = ModelConfig(attention=attention).resolved()
    assert (config.order, config.input_feeding) == (order, feeding)


def test_a_choice_stays():
    config = ModelConfig(attention="additive", order="luong", input_feeding=False).resolved()
    assert (config.order, config.input_feeding) == ("luong", False)
    assert dataclasses.replace(config).resolved() == config


def test_nearest_says_nothing_when_nothing_is_near():
    assert nearest("zzz", ["model"]) == ""
