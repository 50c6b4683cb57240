"""A run from the text to the result, and what it leaves."""

import hashlib
import json
import re
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attncourse.errors import UserError
from attncourse.files import write_whole
from attncourse.tasks.folders import where
from attncourse.tasks.text import Pairs, sentences
from attncourse.training.checkpoints import CHECKPOINT, alone_in
from attncourse.training.checkpoints import load as read_checkpoint
from attncourse.training.loop import Trainer
from attncourse.training.plan import Plan, Record
from attncourse.training.translation.options import Options
from attncourse.training.translation.task import Translation, build, translate
from attncourse.training.translation.words import Tokenizer, bleu, library
from attncourse.training.workers import Workers, computes_bfloat16, hardware, workers
from solutions.transformer import Transformer, learning_rate

TOKENIZER = "tokenizer.model"
TEST = "test_2016_flickr"


def folder(data: Path | None) -> Path:
    """The folder with the text: `data`, or `multi30k` in it. Raises UserError."""
    return where("multi30k", data)


def read(folder: Path, split: str, options: Options) -> Pairs:
    """The pairs of a split, as `train.en` and `train.de`. Raises UserError."""
    paths = [folder / f"{split}.{language}" for language in (options.source, options.target)]
    source, target = (sentences(path, options.longest) for path in paths)
    if len(source) != len(target):
        shorter, longer = sorted(zip((len(source), len(target)), paths, strict=True))
        raise UserError(
            f"{longer[1]} has {longer[0]} lines and {shorter[1].name} {shorter[0]}: line "
            f"{shorter[0] + 1} has no translation. Line n of one must translate line n of the "
            "other."
        )
    return Pairs(source, target)


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """What "auto" means here: bfloat16 where the device computes in it."""
    if precision == "auto":
        return computes_bfloat16(device)
    return precision == "bfloat16"


def train(options: Options, data: Path | None, into: Path, device: str = "auto") -> dict | None:
    """Train, or go on training, translate the test set, and write `result.json`.

    Returns the result; None in all processes but the first. Raises UserError.
    """
    for name in ("sentencepiece", "sacrebleu"):
        library(name)
    splits = [read(folder(data), split, options) for split in ("train", "val", TEST)]
    tokenizer = Tokenizer.train([*splits[0].source, *splits[0].target], options.vocabulary)
    with workers(device) as here:
        if not here.leads:
            return _train(options, splits, tokenizer, into, here)
        with alone_in(into):
            return _train(options, splits, tokenizer, into, here)


def _train(
    options: Options, splits: list[Pairs], tokenizer: Tokenizer, into: Path, workers: Workers
) -> dict | None:
    bfloat16 = use_bfloat16(options.precision, workers.device)
    settings = options.settings() | {
        "precision": "bfloat16" if bfloat16 else "float32",
        "data": _digest(repr(splits).encode()),
        "tokenizer": _digest(tokenizer.model),
    }
    torch.manual_seed(options.seed)
    try:
        model = build(options, len(tokenizer))
    except ValueError as error:
        raise UserError(f"no such model: {error}.") from None
    task = Translation(tokenizer, *splits[:2], options, workers.device)
    plan = Plan(
        epochs=options.epochs,
        patience=options.patience,
        rate=lambda step: learning_rate(
            torch.tensor(float(step)), options.dim, options.warmup
        ).item(),
        watch=options.watch,
        seed=options.seed,
        save_every=options.save_every,
        bfloat16=bfloat16,
    )
    adam = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9)
    trainer = Trainer(model, task, adam, plan, into, settings, workers)
    record = trainer.run()
    if not workers.leads:
        return None
    write_whole(into / TOKENIZER, tokenizer.model)
    model.load_state_dict(trainer.best)
    result = evaluate(model, tokenizer, splits[2], options)
    result |= _report(trainer, record, model, settings)
    write_whole(into / "result.json", _json(result))
    return result


def evaluate(
    model: Transformer, tokenizer: Tokenizer, test: Pairs, options: Options
) -> dict[str, Any]:
    """BLEU on the test set in float32, by beam search and greedily, and the first examples.

    Some papers score in lower case: `lowercase_bleu` is to be read beside theirs.
    """
    said = translate(model, tokenizer, test.source, options.beam, options.alpha)
    score, signature = bleu(said, test.target)
    greedily = translate(model, tokenizer, test.source)
    return {
        "bleu": round(score, 2),
        "signature": signature,
        "test": TEST,
        "beam": options.beam,
        "alpha": options.alpha,
        "lowercase_bleu": round(bleu(said, test.target, lowercase=True)[0], 2),
        "greedy_bleu": round(bleu(greedily, test.target)[0], 2),
        "examples": [
            {"source": source, "said": ours, "reference": target}
            for source, ours, target in zip(
                test.source[:5], said[:5], test.target[:5], strict=True
            )
        ],
    }


def load(folder: Path) -> tuple[Transformer, Tokenizer]:
    """The best model of a run, in eval mode, and its tokenizer. Raises UserError."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"no {path}: train one with `attncourse train translate`.")
    state = read_checkpoint(path)
    tokenizer = Tokenizer((folder / TOKENIZER).read_bytes())
    taken = {f.name: state["settings"].get(f.name) for f in fields(Options)}
    model = build(Options(**taken), len(tokenizer))
    model.load_state_dict(state["best"])
    return model.eval(), tokenizer


def _report(
    trainer: Trainer, record: Record, model: nn.Module, settings: dict[str, Any]
) -> dict[str, Any]:
    """What a reader needs to judge the result, and to get it again."""
    names = {name: f"val_{name}" for name in record.history[0]} | {"train_loss": "train_loss"}
    del names["epoch"]
    return {
        "seeds": [trainer.plan.seed],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "hardware": hardware(trainer.workers),
        "minutes": round(record.seconds / 60, 1),
        "cpu_minutes": round(record.cpu_seconds / 60, 1),
        "target_tokens_per_second": round(record.all_items / record.seconds),
        "epochs": record.epoch,
        "best_epoch": record.best_epoch,
        "steps": record.step,
        "curves": {
            to: [round(e[name], 4) for e in record.history] for name, to in names.items()
        },
        "settings": settings,
        "versions": {name: version(name) for name in ("torch", "sentencepiece", "sacrebleu")},
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _json(result: dict[str, Any]) -> bytes:
    """JSON with a list of numbers on one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    short = re.sub(r"\[([^\[\]{}\"]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    return short.encode() + b"\n"
