"""English to German on Multi30k, or any folder of parallel text, with the Transformer of
chapter 04."""

import hashlib
import io
import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from attncourse import places
from attncourse.errors import UserError
from attncourse.tasks.data import Pairs, sentences, where
from attncourse.training import loop as training
from attncourse.training.loop import Plan, Record, Trainer, Workers, computes_bfloat16
from solutions import transformer
from solutions.transformer import (
    BEGIN,
    END,
    PAD,
    Transformer,
    label_smoothing_loss,
    learning_rate,
)

UNKNOWN = 3
TOKENIZER = "tokenizer.model"
TEST = "test_2016_flickr"


@dataclass(frozen=True)
class Options:
    """What a run depends on; the command line explains each and has the defaults."""

    source: str
    target: str
    epochs: int
    patience: int
    watch: str
    seed: int
    dim: int
    heads: int
    hidden: int
    layers: int
    norm: str
    dropout: float
    smoothing: float
    vocabulary: int
    tokens: int
    warmup: int
    longest: int
    precision: str
    beam: int
    alpha: float
    save_every: int

    FREE = ("epochs", "patience", "save_every", "beam", "alpha")  # no annotation: not a field

    def settings(self) -> dict[str, Any]:
        """Those that a checkpoint depends on."""
        return {name: value for name, value in asdict(self).items() if name not in self.FREE}


# ---------------------------------------------------------------- text


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


# ---------------------------------------------------------------- words


def _library(name: str):
    try:
        return import_module(name)
    except ImportError:
        raise UserError(f"{name} is missing: {places.extra('translate')}") from None


class Tokenizer:
    """Byte-pair encoding by sentencepiece, one vocabulary for both languages.

    Its first words are those of the Transformer: PAD, BEGIN, END.
    """

    def __init__(self, model: bytes):
        self.model = model
        self.pieces = _library("sentencepiece").SentencePieceProcessor(model_proto=model)

    @classmethod
    def train(cls, texts: Sequence[str], words: int) -> "Tokenizer":
        """Merge the most frequent pairs of neighbours until there are so many words."""
        model = io.BytesIO()
        try:
            _library("sentencepiece").SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type="bpe",
                vocab_size=words,
                character_coverage=1.0,
                max_sentence_length=4 * max(map(len, texts)) + 1,  # in bytes
                pad_id=PAD,
                bos_id=BEGIN,
                eos_id=END,
                unk_id=UNKNOWN,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            why = str(error).strip().splitlines()[-1].rpartition("] ")[2]
            raise UserError(f"no vocabulary of {words} words from this text: {why}") from None
        return cls(model.getvalue())

    def __len__(self) -> int:
        return self.pieces.get_piece_size()

    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """The words of each text as numbers, END after them."""
        return [torch.tensor([*words, END]) for words in self.pieces.encode(list(texts))]

    def decode(self, words: Int[Tensor, "b n"]) -> list[str]:
        """The text of each row, up to its END."""
        rows = []
        for row in words.tolist():
            row = row[: row.index(END)] if END in row else row
            rows.append([word for word in row if word not in (PAD, BEGIN)])
        return self.pieces.decode(rows)


# ---------------------------------------------------------------- batches


class Batch(NamedTuple):
    """Sentences of about one length, padded. The target is what to predict, END at its end."""

    source: Int[Tensor, "b j"]
    target: Int[Tensor, "b i"]

    @property
    def given(self) -> Int[Tensor, "b i"]:
        """What the decoder is given: the target, one place later, BEGIN before it."""
        begin = torch.full_like(self.target[:, :1], BEGIN)
        return torch.cat([begin, self.target[:, :-1]], dim=-1)


def buckets(
    sizes: Sequence[tuple[int, int]], tokens: int, generator: torch.Generator | None = None
) -> list[list[int]]:
    """Which examples go together: neighbours in length, at most `tokens` with the padding.

    sizes      the lengths of each example's source and target
    generator  shuffles examples of equal length, and the batches; None leaves them sorted
    A single example that is longer goes alone.
    """
    n = len(sizes)
    noise = torch.rand(n, generator=generator).tolist() if generator else [0.0] * n
    order = sorted(range(n), key=lambda i: (max(sizes[i]), sum(sizes[i]), noise[i], i))
    batches, longest = [], 0
    for i in order:
        longest = max(longest, *sizes[i])
        if not batches or (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = max(sizes[i])
        batches[-1].append(i)
    if generator:
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        batches = [batches[i] for i in shuffled]
    return batches


def padded(rows: Sequence[Tensor]) -> Int[Tensor, "b n"]:
    """Rows of different length as one tensor, PAD behind the short ones."""
    return pad_sequence(list(rows), batch_first=True, padding_value=PAD)


# ---------------------------------------------------------------- the task


class Translation:
    """Pairs to train a Transformer on, as `attncourse.training.loop` wants a task."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        train: Pairs,
        val: Pairs,
        options: Options,
        device: torch.device,
    ):
        self.tokenizer, self.val, self.options, self.device = tokenizer, val, options, device
        self.train_words = [tokenizer.encode(texts) for texts in train]
        self.val_words = [tokenizer.encode(texts) for texts in val]

    @cached_property
    def _val_batches(self) -> list[Batch]:
        return self._batches(self.val_words)

    def _batches(self, words: list[list[Tensor]], generator=None) -> list[Batch]:
        source, target = words
        sizes = [(len(s), len(t)) for s, t in zip(source, target, strict=True)]
        return [
            Batch(padded([source[i] for i in chosen]), padded([target[i] for i in chosen]))
            for chosen in buckets(sizes, self.options.tokens, generator)
        ]

    def batches(self, epoch: int) -> list[Batch]:
        """The training pairs in the order of this epoch."""
        generator = torch.Generator().manual_seed(1_000_003 * self.options.seed + epoch)
        return self._batches(self.train_words, generator)

    def loss(
        self, model: nn.Module, batch: Batch, smoothing: float | None = None
    ) -> tuple[Tensor, int]:
        """The smoothed cross-entropies of a batch, summed, and how many words there are."""
        smoothing = self.options.smoothing if smoothing is None else smoothing
        batch = Batch(*(words.to(self.device) for words in batch))
        words = int((batch.target != PAD).sum())
        logits = model(batch.source, batch.given)
        # A loss in bfloat16 would have three digits.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return words * label_smoothing_loss(logits, batch.target, smoothing), words

    def validate(self, model: nn.Module) -> dict[str, float]:
        """The cross-entropy a word, without smoothing, and the BLEU of greedy decoding."""
        losses = [self.loss(model, batch, smoothing=0.0) for batch in self._val_batches]
        loss = sum(loss.item() for loss, _ in losses) / sum(count for _, count in losses)
        said = translate(model, self.tokenizer, self.val.source, tokens=self.options.tokens)
        return {"loss": loss, "bleu": bleu(said, self.val.target)[0]}


def translate(
    model: Transformer,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    beam: int = 1,
    alpha: float = 0.6,
    tokens: int = 2048,
) -> list[str]:
    """The translation of each text, by beam search, or greedily where `beam` is 1."""
    device = next(model.parameters()).device
    words = tokenizer.encode(texts)
    said = [""] * len(texts)
    for chosen in buckets([(len(row), 0) for row in words], tokens):
        source = padded([words[i] for i in chosen]).to(device)
        longest = source.shape[1] * 3 // 2 + 10
        found = transformer.translate(model, source, longest, beam, alpha)
        for i, text in zip(chosen, tokenizer.decode(found), strict=True):
            said[i] = text
    return said


def bleu(
    said: Sequence[str], right: Sequence[str], lowercase: bool = False
) -> tuple[float, str]:
    """BLEU of the corpus by sacrebleu, and the signature that says how it was computed."""
    metric = _library("sacrebleu").BLEU(lowercase=lowercase)
    score = metric.corpus_score(list(said), [list(right)]).score
    return score, str(metric.get_signature())


# ---------------------------------------------------------------- the whole


def build(options: Options, words: int) -> Transformer:
    """The model of these options, with one matrix for source, target and output."""
    return Transformer(
        words,
        words,
        options.dim,
        options.heads,
        options.hidden,
        options.layers,
        options.norm,
        options.dropout,
        share=True,
    )


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """What "auto" means here: bfloat16 where the device computes in it."""
    if precision == "auto":
        return computes_bfloat16(device)
    return precision == "bfloat16"


def train(options: Options, data: Path | None, into: Path, device: str = "auto") -> dict | None:
    """Train, or go on training, translate the test set, and write `result.json`.

    Returns the result; None in all processes but the first. Raises UserError.
    """
    for library in ("sentencepiece", "sacrebleu"):
        _library(library)
    splits = [read(folder(data), split, options) for split in ("train", "val", TEST)]
    tokenizer = Tokenizer.train([*splits[0].source, *splits[0].target], options.vocabulary)
    with training.workers(device) as workers:
        if not workers.leads:
            return _train(options, splits, tokenizer, into, workers)
        with training.alone_in(into):
            return _train(options, splits, tokenizer, into, workers)


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
    training.write_whole(into / TOKENIZER, tokenizer.model)
    model.load_state_dict(trainer.best)
    result = evaluate(model, tokenizer, splits[2], options)
    result |= _report(trainer, record, model, settings)
    training.write_whole(into / "result.json", _json(result))
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
    path = folder / training.CHECKPOINT
    if not path.is_file():
        raise UserError(f"no {path}: train one with `attncourse train translate`.")
    state = training.load(path)
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


def hardware(workers: Workers) -> str:
    """What the training ran on, in words."""
    if workers.device.type == "cuda":
        name = torch.cuda.get_device_name(workers.device)
        return f"{workers.count} x {name}" if workers.count > 1 else name
    known = getattr(torch.cpu, "get_capabilities", dict)()
    name = known.get("cpu_name") or platform.processor() or platform.machine()
    threads = workers.count * torch.get_num_threads()
    return f"{name}, {threads} of {os.cpu_count()} cores"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _json(result: dict[str, Any]) -> bytes:
    """JSON with a list of numbers on one line."""
    text = json.dumps(result, indent=1, ensure_ascii=False)
    short = re.sub(r"\[([^\[\]{}\"]*)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    return short.encode() + b"\n"
