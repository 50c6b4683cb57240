"""A run from end to end, broken off or not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import call, fails
from counted import OPTIONS, counted, write_text

from attncourse.errors import UserError
from attncourse.training import checkpoints
from attncourse.training.loop import Trainer
from attncourse.training.translation.running import TEST, load, train
from attncourse.training.translation.task import translate
from attncourse.training.translation.words import bleu


def run(text, into, **changes):
    return train(replace(OPTIONS, **changes), text, into, "cpu")


TIMES = ("minutes", "cpu_minutes", "target_tokens_per_second")


def without_times(result):
    return {k: v for k, v in result.items() if k not in TIMES}


def test_a_small_translator_learns_to_count_in_german(tmp_path):
    """Seeds 0 to 2 give 94 to 100; without attention to the source it would be about 0."""
    into, text = tmp_path / "run", write_text(tmp_path / "text", 500, 30)
    better = {"epochs": 14, "vocabulary": 95, "warmup": 300, "tokens": 120}
    result = run(text, into, dropout=0.0, watch="bleu", **better)
    assert result["bleu"] > 80
    assert "tok:13a" in result["signature"]
    assert "version:" in result["signature"]
    assert result == json.loads((into / "result.json").read_text(encoding="utf-8"))
    assert {path.name for path in into.iterdir()} >= {"checkpoint.pt", "tokenizer.model"}
    assert len(result["curves"]["val_bleu"]) == result["epochs"]
    model, tokenizer = load(into)
    test = counted(30, 2)
    said = translate(model, tokenizer, test.source, OPTIONS.beam)
    assert bleu(said, test.target)[0] == pytest.approx(result["bleu"], abs=0.005)
    assert said[:5] == [example["said"] for example in result["examples"]]
    alone = [translate(model, tokenizer, [one], OPTIONS.beam)[0] for one in test.source]
    assert alone == said


@pytest.mark.parametrize("step", [1, 7, 12])
def test_a_translator_goes_on_to_the_same_result(text, tmp_path, monkeypatch, step):
    class PowerCut(BaseException):
        pass

    def cut(trainer, *arguments, real=Trainer._step):
        if trainer.record.step == step:
            raise PowerCut
        real(trainer, *arguments)

    unbroken = run(text, tmp_path / "unbroken")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", cut)
        with pytest.raises(PowerCut):
            run(text, tmp_path / "run")
    assert without_times(run(text, tmp_path / "run")) == without_times(unbroken)
    one, other = (
        checkpoints.load(tmp_path / name / "checkpoint.pt") for name in ("run", "unbroken")
    )
    for part in ("model", "best"):
        assert all(torch.equal(one[part][name], w) for name, w in other[part].items())


def test_the_command_trains_and_says_what_came_out(text, tmp_path):
    into = tmp_path / "run"
    small = "--dim 16 --hidden 16 --layers 1 --vocabulary 60 --epochs 1 --beam 2".split()
    command = ("train", "translate", "--data", str(text), "--into", str(into), *small)
    result = call(*command)
    assert result.exit_code == 0, result.output
    assert f"on {TEST}, nrefs:1|" in result.output
    assert call(*command).output.splitlines()[-1] == result.output.splitlines()[-1]
    said = fails(*command, "--seed", "3")
    assert "is of another run, with seed 0, not 3" in said


def test_heads_that_do_not_divide_are_one_line(text, tmp_path):
    command = ("train", "translate", "--data", str(text), "--into", str(tmp_path / "run"))
    said = fails(*command, "--vocabulary", "60", "--dim", "10", "--heads", "3")
    assert "no such model: dim=10 is not a multiple of heads=3" in said


def test_a_folder_without_a_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no .*checkpoint\.pt: train one with `attncourse"):
        load(tmp_path)


def test_the_result_that_is_kept_says_how_it_was_reached():
    path = Path(__file__).parents[3] / "results" / "translate.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["test"] == TEST
    assert kept["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert kept["bleu"] >= 35
    assert kept["seeds"]
    assert kept["hardware"]
    assert kept["minutes"] < 60
    assert {len(curve) for curve in kept["curves"].values()} == {kept["epochs"]}
    assert set(kept["curves"]) == {"train_loss", "val_loss", "val_bleu"}
