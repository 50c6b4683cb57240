"""English to German: the text, the words, the batches, and a run from end to end."""

import gzip
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import call, fails
from torch import nn

from attncourse import places
from attncourse.errors import UserError
from attncourse.training import loop as training
from attncourse.training import translation
from attncourse.training.translation import (
    TEST,
    Options,
    Pairs,
    Tokenizer,
    Translation,
    bleu,
    buckets,
    folder,
    load,
    padded,
    read,
    sentences,
    translate,
)
from solutions.transformer import BEGIN, END, PAD

pytest.importorskip("sentencepiece", reason='no sentencepiece: pip install -e ".[translate]"')
pytest.importorskip("sacrebleu", reason='no sacrebleu: pip install -e ".[translate]"')

ENGLISH = "one two three four five six seven eight nine ten".split()
GERMAN = "eins zwei drei vier fünf sechs sieben acht neun zehn".split()
OPTIONS = Options(
    source="en",
    target="de",
    epochs=2,
    patience=9,
    watch="loss",
    seed=0,
    dim=32,
    heads=2,
    hidden=32,
    layers=1,
    norm="pre",
    dropout=0.1,
    smoothing=0.1,
    vocabulary=60,
    tokens=200,
    warmup=40,
    longest=80,
    precision="float32",
    beam=2,
    alpha=0.6,
    save_every=3,
)


def counted(examples, seed):
    """Numbers in words, from three to six of them, in both languages."""
    choose = random.Random(seed)
    rows = [choose.choices(range(10), k=choose.randint(3, 6)) for _ in range(examples)]
    return Pairs(
        *([" ".join(names[i] for i in row) for row in rows] for names in (ENGLISH, GERMAN))
    )


def write_text(place, train, rest):
    """A folder of parallel text, with so many pairs to train on, and for the rest."""
    place.mkdir()
    for seed, (split, examples) in enumerate((("train", train), ("val", rest), (TEST, rest))):
        for language, lines in zip(("en", "de"), counted(examples, seed), strict=True):
            path = place / f"{split}.{language}"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return place


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path / "text", 120, 12)


@pytest.fixture(scope="module")
def tokenizer():
    pairs = counted(120, 0)
    return Tokenizer.train([*pairs.source, *pairs.target], 60)


def task_of(tokenizer, **changes):
    return Translation(
        tokenizer,
        counted(120, 0),
        counted(12, 1),
        replace(OPTIONS, **changes),
        torch.device("cpu"),
    )


# ---------------------------------------------------------------- text


def test_plain_and_gzip_are_read_alike(text):
    plain = read(text, "train", OPTIONS)
    assert plain == counted(120, 0)
    path = text / "train.de"
    path.with_name("train.de.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert read(text, "train", OPTIONS) == plain


@pytest.mark.parametrize(
    "data",
    [b"a\nb\n", b"a\nb", b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb\n", b"  a \n\tb\n"],
    ids=["plain", "without a last line end", "windows", "byte order mark", "spaces"],
)
def test_line_ends_and_marks_are_no_part_of_the_text(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    assert sentences(tmp_path / "x", 9) == ["a", "b"]


def test_only_a_line_feed_ends_a_line(tmp_path):
    (tmp_path / "x").write_text("a\u2028b\x85c\x0bd\ne\n", encoding="utf-8", newline="\n")
    assert len(sentences(tmp_path / "x", 9)) == 2


LATIN = "ein\nzwölf\n".encode("latin1")
LONG = b"ein\n" + 81 * b"x" + b"\n"
BAD = {
    "fewer lines": (
        "val.de",
        b"eins\nzwei\n",
        r"val\.en has 12 lines and val\.de 2: line 3 ",
    ),
    "empty": ("val.de", b"", r"val\.de is empty: it should have one sentence a line\."),
    "empty gzip": ("val.de.gz", gzip.compress(b""), r"val\.de\.gz is empty"),
    "not UTF-8": ("val.de", LATIN, r"val\.de, line 2: byte 3 is 0xf6, which is no UTF-8\."),
    "not UTF-8, gzip": ("train.en.gz", gzip.compress(LATIN), r"train\.en\.gz, line 2: byte 3"),
    "too long": (
        "train.de",
        LONG,
        r"train\.de, line 2: 81 characters, more than the limit",
    ),
    "blank": ("val.de", b"eins\n \nzwei\n", r"val\.de, line 2 is blank"),
    "broken": (
        "val.de.gz",
        gzip.compress(b"eins\n")[:-9],
        r"val\.de\.gz is a broken gzip",
    ),
    "missing": ("val.de", None, r"no val\.de or val\.de\.gz in "),
    "few words": ("train.de", b"a\n" * 120, r"no vocabulary of 900 words from this text: "),
}


@pytest.mark.parametrize(("name", "data", "message"), BAD.values(), ids=BAD)
def test_bad_text_is_one_line_that_names_file_and_line(text, name, data, message):
    plain = text / name.removesuffix(".gz")
    plain.unlink()
    if data is not None:
        (text / name).write_bytes(data)
    into = text.parent / "run"
    command = ("train", "translate", "--data", str(text), "--into", str(into))
    said = fails(*command, "--longest", "80", "--vocabulary", "900")
    with pytest.raises(UserError, match=message):
        raise UserError(said)
    assert not into.exists()


def test_no_folder_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("ATTNCOURSE_DATA", raising=False)
    assert "set ATTNCOURSE_DATA to a folder that has multi30k/train.en" in fails(
        "train", "translate"
    )
    monkeypatch.setenv("ATTNCOURSE_DATA", str(tmp_path / "away"))
    assert f"there is no folder {tmp_path / 'away'}" in fails("train", "translate")


def test_the_folder_may_hold_several_sets_of_data(tmp_path):
    assert folder(tmp_path) == tmp_path
    (tmp_path / "multi30k").mkdir()
    assert folder(tmp_path) == tmp_path / "multi30k"


def test_multi30k_is_read_whole():
    data = os.environ.get("ATTNCOURSE_DATA")
    if not data or not (Path(data) / "multi30k").is_dir():
        pytest.skip("ATTNCOURSE_DATA is not set to a folder with multi30k in it")
    options = replace(OPTIONS, longest=500)
    splits = [read(folder(Path(data)), split, options) for split in ("train", "val", TEST)]
    assert [len(pairs.source) for pairs in splits] == [29_000, 1_014, 1_000]
    words = Tokenizer.train([*splits[0].source, *splits[0].target], 4000)
    assert len(words) == 4000
    rows = padded(words.encode(splits[2].target))
    assert words.decode(rows) == splits[2].target


# ---------------------------------------------------------------- words


def test_the_first_words_are_those_of_the_transformer(tokenizer):
    assert tokenizer.pieces.pad_id() == PAD
    assert tokenizer.pieces.bos_id() == BEGIN
    assert tokenizer.pieces.eos_id() == END
    assert len(tokenizer) == 60


def test_text_comes_back_from_its_words(tokenizer):
    texts = counted(50, 5).target
    rows = padded(tokenizer.encode(texts))
    assert ((rows == END).sum(-1) == 1).all()
    assert tokenizer.decode(rows) == texts
    begun = torch.cat([torch.full((50, 1), BEGIN), rows], dim=-1)
    assert tokenizer.decode(begun) == texts


def test_what_comes_after_the_end_is_not_read(tokenizer):
    (row,) = tokenizer.encode(["eins zwei"])
    assert tokenizer.decode(torch.cat([row, row]).unsqueeze(0)) == ["eins zwei"]


def test_the_same_text_makes_the_same_vocabulary():
    texts = counted(50, 5).target
    assert Tokenizer.train(texts, 40).model == Tokenizer.train(texts, 40).model


def test_a_missing_library_is_one_line_that_says_how_to_get_it(text, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(translation, "import_module", missing)
    said = fails("train", "translate", "--data", str(text))
    assert f"sentencepiece is missing: {places.extra('translate')}" in said


# ---------------------------------------------------------------- batches


def lengths(n=500):
    """Lengths as sentences have them, source and target alike."""
    choose = random.Random(3)
    source = [choose.randint(4, 40) for _ in range(n)]
    return [(s, max(1, s + choose.randint(-3, 3))) for s in source]


def shuffled(seed):
    return torch.Generator().manual_seed(seed)


def test_every_example_is_in_one_batch():
    for generator in (None, shuffled(0)):
        batches = buckets(lengths(), 300, generator)
        assert sorted(i for batch in batches for i in batch) == list(range(500))


def test_no_batch_has_more_tokens_than_asked_for():
    sizes = lengths()
    for batch in buckets(sizes, 300, shuffled(0)):
        assert len(batch) * max(max(sizes[i]) for i in batch) <= 300


def test_an_example_larger_than_a_batch_goes_alone():
    assert buckets([(3, 3), (50, 2), (3, 2)], 10) == [[2, 0], [1]]


def test_examples_meet_others_in_another_epoch():
    one, other = (set(map(frozenset, buckets(lengths(), 300, shuffled(n)))) for n in (0, 1))
    assert len(one & other) < len(one) / 4


def test_neighbours_in_length_need_little_padding():
    """Drawn at random, about 40 % would be padding."""
    sizes = lengths()
    space = sum(
        len(batch) * max(max(sizes[i]) for i in batch)
        for batch in buckets(sizes, 300, shuffled(0))
    )
    assert 1 - sum(map(max, sizes)) / space < 0.08


def test_an_epoch_has_an_order_of_its_own_and_always_the_same(tokenizer):
    def first(epoch, seed=0):
        return task_of(tokenizer, seed=seed).batches(epoch)[0].source.tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1) != first(1, seed=1)


def test_the_decoder_is_given_the_target_one_place_later():
    batch = translation.Batch(torch.tensor([[5, END]]), torch.tensor([[7, 8, END, PAD]]))
    assert batch.given.tolist() == [[BEGIN, 7, 8, END]]


def test_the_loss_is_that_of_each_sentence_alone(tokenizer):
    """By hand: with smoothing 0.2, 0.8 of -log p(right) and 0.2 of the mean over all words."""
    task = task_of(tokenizer, smoothing=0.2, tokens=100)
    model = translation.build(OPTIONS, len(tokenizer)).double().eval()
    batch = next(b for b in task.batches(0) if (b.target == PAD).any())
    by_hand = count = 0
    for source, target in zip(*batch, strict=True):
        source, target = source[source != PAD], target[target != PAD]
        given = torch.tensor([[BEGIN, *target[:-1].tolist()]])
        log_p = model(source.unsqueeze(0), given)[0].log_softmax(-1)
        for place, word in enumerate(target):
            by_hand -= 0.8 * log_p[place, word] + 0.2 * log_p[place].mean()
            count += 1
    loss, words = task.loss(model, batch)
    assert words == count
    torch.testing.assert_close(loss, by_hand)


def test_the_validation_is_without_smoothing(tokenizer):
    task = task_of(tokenizer, smoothing=0.2)
    model = translation.build(OPTIONS, len(tokenizer)).eval()
    losses = []
    for source, target in zip(*task.val_words, strict=True):
        given = torch.tensor([[BEGIN, *target[:-1].tolist()]])
        logits = model(source.unsqueeze(0), given)[0]
        losses.append(nn.functional.cross_entropy(logits, target, reduction="none"))
    torch.testing.assert_close(task.validate(model)["loss"], torch.cat(losses).mean().item())


# ---------------------------------------------------------------- a run


def run(text, into, **changes):
    return translation.train(replace(OPTIONS, **changes), text, into, "cpu")


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

    def cut(trainer, *arguments, real=training.Trainer._step):
        if trainer.record.step == step:
            raise PowerCut
        real(trainer, *arguments)

    unbroken = run(text, tmp_path / "unbroken")
    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "_step", cut)
        with pytest.raises(PowerCut):
            run(text, tmp_path / "run")
    assert without_times(run(text, tmp_path / "run")) == without_times(unbroken)
    one, other = (
        training.load(tmp_path / name / "checkpoint.pt") for name in ("run", "unbroken")
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


def test_source_target_and_output_share_one_matrix():
    model = translation.build(OPTIONS, 60)
    assert model.source.weight is model.target.weight is model.out.weight
    assert isinstance(model.out, nn.Linear)


def test_bleu_of_the_reference_is_100():
    texts = counted(5, 0).target
    assert bleu(texts, texts)[0] == pytest.approx(100)
    assert bleu(texts, texts[::-1])[0] < 50
    capitals = [text.upper() for text in texts]
    assert bleu(texts, capitals)[0] < 50
    score, signature = bleu(texts, capitals, lowercase=True)
    assert score == pytest.approx(100)
    assert "case:lc" in signature


def test_the_result_that_is_kept_says_how_it_was_reached():
    path = Path(__file__).parents[2] / "results" / "translate.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["test"] == TEST
    assert kept["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert kept["bleu"] >= 35
    assert kept["seeds"]
    assert kept["hardware"]
    assert kept["minutes"] < 60
    assert {len(curve) for curve in kept["curves"].values()} == {kept["epochs"]}
    assert set(kept["curves"]) == {"train_loss", "val_loss", "val_bleu"}
