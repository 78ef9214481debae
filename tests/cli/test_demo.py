"""`regard demo`: hands its folder and seed to the recipe, and ends well when stopped."""

from regard.recipes import bottleneck, side_by_side


def test_folder_and_seed_reach_the_recipe(regard, trainer, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(bottleneck, "run", lambda folder, *, seed: calls.append((folder, seed)))
    assert regard("demo", "--out", tmp_path / "d", "--seed", 4).code == 0
    assert calls == [(tmp_path / "d", 4)]


def test_an_interruption_says_how_to_start_again(regard, trainer, tmp_path, monkeypatch):
    def run(folder, *, seed):
        raise side_by_side.Interrupted

    monkeypatch.setattr(bottleneck, "run", run)
    outcome = regard("demo", "--out", tmp_path / "d")
    assert (outcome.code, outcome.err) == (
        130,
        f"regard: stopped; start again with: regard demo --out {tmp_path / 'd'}\n",
    )
