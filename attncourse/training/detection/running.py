"""Three backbones and three seeds, each run a file: what is there is not trained again."""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from attncourse.errors import UserError
from attncourse.files import write_whole
from attncourse.papers.counting import count
from attncourse.tasks.detection import SIDE, Scenes, scenes
from attncourse.training.detection.precision import MEASURES, average_precision
from solutions.capstone.boxes import box_iou
from solutions.capstone.detection import Found, RetinaNet, detection_loss, detections
from solutions.capstone.network import create_network

BACKBONES = ("none", "cbam", "sasa3")
SHOWN = 6  # pictures of which a result keeps what was found


@dataclass(frozen=True)
class Options:
    """What is trained and how. `channels` of the three stages, `rate` the highest.

    All whole digits are one class: which digit it is takes longer to learn than minutes.
    """

    channels: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 1
    pictures: int = 2400
    epochs: int = 4
    batch: int = 16
    rate: float = 3e-3
    decay: float = 1e-4
    test: int = 400
    test_seed: int = 5_000_000


def detector(mechanism: str, options: Options, fast: bool = True) -> RetinaNet:
    """RetinaNet on the chapter's network with one mechanism."""
    backbone = create_network(
        mechanism, options.channels, options.blocks, stem=2, image=SIDE, fast=fast
    )
    return RetinaNet(backbone, options.channels[1:], stride=4, classes=1)


@cache
def pictures_for(seed: int, options: Options) -> Scenes:
    """What is trained on with a seed, by whatever backbone."""
    return one_class(scenes(options.pictures, seed))


def one_class(seen: Scenes) -> Scenes:
    """The same pictures; what is to be found are digits, whichever."""
    return seen._replace(labels=[torch.zeros_like(label) for label in seen.labels])


def fit(network: RetinaNet, seed: int, options: Options) -> None:
    """Train. Order, and which colour is red, green and blue, depend on the seed alone."""
    seen, dice = pictures_for(seed, options), torch.Generator().manual_seed(seed)
    steps = options.epochs * (options.pictures // options.batch)
    optimiser = torch.optim.AdamW(
        network.parameters(), options.rate, weight_decay=options.decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, total_steps=steps)
    network.train()
    for _ in range(options.epochs):
        order = torch.randperm(options.pictures, generator=dice)
        for chosen in order[: steps // options.epochs * options.batch].split(options.batch):
            image = seen.image[chosen][:, torch.randperm(3, generator=dice)]
            boxes, labels = ([part[n] for n in chosen] for part in seen[1:])
            scored, placed = detection_loss(*network(image), boxes, labels)
            optimiser.zero_grad()
            (scored + placed).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 10)
            optimiser.step()
            schedule.step()


@torch.no_grad()
def found_in(network: RetinaNet, seen: Scenes, batch: int = 50) -> list[Found]:
    """What a network finds in each picture."""
    network.eval()
    return [one for images in seen.image.split(batch) for one in detections(*network(images))]


def run(mechanism: str, seed: int, options: Options, folder: Path) -> dict[str, Any]:
    """Train one and judge it, and write its file; read it where it is there."""
    path = folder / f"{mechanism}_{seed}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    began = time.process_time()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = detector(mechanism, options)
        fit(network, seed, options)
    seen = one_class(scenes(options.test, options.test_seed, test=True))
    found = found_in(network, seen)
    judged = average_precision(found, seen.boxes, seen.labels, classes=1)
    result = {
        "backbone": mechanism,
        "seed": seed,
        **{name: round(value, 4) for name, value in judged.items()},
        "processor_minutes": round((time.process_time() - began) / 60, 2),
        "shown": [_shown(one) for one in found[:SHOWN]],
    }
    write_whole(path, json.dumps(result).encode())
    return result


def _shown(one: Found) -> dict[str, Any]:
    """What was found with a score of 0.3 or more."""
    sure = one.scores >= 0.3
    return {
        "boxes": [[round(edge, 1) for edge in box] for box in one.boxes[sure].tolist()],
        "scores": [round(score, 2) for score in one.scores[sure].tolist()],
    }


def baseline(options: Options, likely: int = 100) -> dict[str, float]:
    """Who does not look: in every picture the boxes and classes that are likeliest anywhere.

    The truths of as many other pictures, sorted by how often another of their class overlaps
    them by half, are what is found in each.
    """
    seen = one_class(scenes(400, options.test_seed + 1))
    boxes, labels = torch.cat(seen.boxes), torch.cat(seen.labels)
    alike = (box_iou(boxes, boxes) >= 0.5) & (labels[:, None] == labels)
    often = alike.double().mean(1).float()
    best = often.argsort(descending=True, stable=True)[:likely]
    guess = Found(boxes[best], often[best], labels[best])
    test = one_class(scenes(options.test, options.test_seed, test=True))
    judged = average_precision([guess] * options.test, test.boxes, test.labels, classes=1)
    return {name: round(judged[name], 4) for name in MEASURES}


def costs(options: Options, backbones: Sequence[str] = BACKBONES) -> dict[str, dict[str, int]]:
    """Parameters and multiply-adds of a picture, of the whole detector and of its backbone."""
    return {
        mechanism: _cost(detector(mechanism, options, fast=False)) for mechanism in backbones
    }


def _cost(network: RetinaNet) -> dict[str, int]:
    network, backbone = network.eval(), network.backbone
    x = torch.zeros(1, 3, SIDE, SIDE)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": count(lambda: network(x)).multiply_adds,
        "backbone_parameters": sum(p.numel() for p in backbone.parameters()),
        "backbone_multiply_adds": count(lambda: backbone.stages(x)).multiply_adds,
    }


def compare(
    into: Path,
    seeds: Sequence[int] = (0, 1, 2),
    options: Options | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """All backbones and seeds, one seed after another; the result, which is `detection.json`.

    Stopped or killed, it goes on with the run that was not finished. Raises UserError in a
    folder with other settings.
    """
    options, console = options or Options(), console or Console(highlight=False)
    folder = into / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.loads(json.dumps(asdict(options)))
    kept = folder / "settings.json"
    if kept.is_file() and json.loads(kept.read_text(encoding="utf-8")) != settings:
        raise UserError(f"{into} holds runs with other settings: name another folder.")
    write_whole(kept, json.dumps(settings).encode())
    runs = []
    for seed in seeds:
        for mechanism in BACKBONES:
            runs.append(run(mechanism, seed, options, folder))
            done = runs[-1]
            console.print(
                f"{len(runs)} of {len(seeds) * len(BACKBONES)}: {mechanism}, seed {seed}: "
                f"AP {done['AP']:.3f}, AP50 {done['AP50']:.3f}",
                soft_wrap=True,
            )
    result = {
        "settings": settings,
        "seeds": [*seeds],
        "minutes": round(sum(one["processor_minutes"] for one in runs), 1),
        "baseline": baseline(options),
        "costs": costs(options),
        "runs": runs,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pycocotools": version("pycocotools"),
        },
        "hardware": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
        },
    }
    write_whole(into / "detection.json", (json.dumps(result, indent=1) + "\n").encode())
    return result
