"""Small networks that are trained already: `kept.load("cbam")`; `kept.names()` lists them.

Their weights are in the package, in half precision, with a checksum and what they were measured
at. They read the digit in pictures that come with the course, one among pieces of others on a
photograph (`tasks.detection.single_digits`), so that a map of their attention shows something
learnt. `attncourse train kept NAME` makes a network of any recipe, again or for the first time;
weights are kept in the package of those that learnt something.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.errors import UserError, nearest
from attncourse.files import write_whole
from attncourse.tasks.detection import Scenes, single_digits
from solutions.capstone.network import SmallResNet, create_network

HERE = Path(__file__).with_name("weights")
ABOUT = "about.json"


@dataclass(frozen=True)
class Recipe:
    """What a network is and how it was trained.

    channels  of its three stages, one residual block each
    pictures  different ones; in each of the epochs their red, green and blue are exchanged
    rate      the highest, of one cycle with AdamW
    """

    mechanism: str
    says: str
    channels: tuple[int, int, int] = (16, 32, 64)
    pictures: int = 4000
    epochs: int = 6
    batch: int = 50
    rate: float = 1e-2
    seed: int = 0
    test: int = 2000
    test_seed: int = 9_000_000


RECIPES = {
    "cbam": Recipe("cbam", "CBAM's two gates in every block"),
    "stand_alone": Recipe(
        "sasa23", "stand-alone attention for the 3x3s of stages 2 and 3", epochs=30, rate=4e-3
    ),
    "windows": Recipe(
        "windows", "shifted windows for the 3x3s of stages 2 and 3", epochs=30, rate=4e-3
    ),
}


def make(recipe: Recipe, fast: bool = False) -> SmallResNet:
    """The network of a recipe, untrained."""
    return create_network(recipe.mechanism, recipe.channels, blocks=1, fast=fast)


def names() -> list[str]:
    """The networks whose weights are in the package."""
    return sorted(json.loads((HERE / ABOUT).read_text(encoding="utf-8")))


def load(name: str) -> SmallResNet:
    """A trained network, in evaluation mode: from b 3 32 32 to a score for each digit.

    Raises UserError for a name that there is not, and where the file is not the one that was
    kept.
    """
    recipe, told = _recipe(name), about(name)
    data = (HERE / f"{name}.pt").read_bytes()
    if sha256(data).hexdigest() != told["sha256"]:
        raise UserError(f"the weights of {name} are not those that were kept: install again.")
    network = make(recipe)
    kept = torch.load(BytesIO(data), weights_only=True)
    network.load_state_dict(
        {name: w.float() if w.is_floating_point() else w for name, w in kept.items()}
    )
    return network.eval()


def about(name: str) -> dict[str, Any]:
    """What is known of a kept network: its recipe, its accuracy and that of the baseline.
    Raises UserError where no weights are kept."""
    known = json.loads((HERE / ABOUT).read_text(encoding="utf-8"))
    if _recipe(name) and name not in known:
        raise UserError(f"no weights of {name} are kept: `attncourse train kept {name}`.")
    return known[name]


def pictures(count: int, seed: int, test: bool = True) -> tuple[Tensor, Tensor, Scenes]:
    """Pictures for these networks, b 3 32 32, their digits, and the scenes with the boxes."""
    seen = single_digits(count, seed, test)
    return seen.image, torch.cat(seen.labels), seen


@torch.no_grad()
def accuracy(
    network: nn.Module, image: Float[Tensor, "b rgb h w"], label: Int[Tensor, " b"]
) -> float:
    """The share of pictures whose digit has the best score."""
    right = [network(part).argmax(-1) for part in image.split(250)]
    return (torch.cat(right) == label).double().mean().item()


def train(name: str, recipe: Recipe | None = None) -> SmallResNet:
    """Train a network by its recipe, from nothing."""
    recipe = recipe or _recipe(name)
    image, label, _ = pictures(recipe.pictures, recipe.seed, test=False)
    dice = torch.Generator().manual_seed(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = make(recipe, fast=True).train()
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=1e-2)
    steps = recipe.epochs * -(-recipe.pictures // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(recipe.pictures, generator=dice).split(recipe.batch):
            colours = torch.randperm(3, generator=dice)
            loss = F.cross_entropy(
                network(image[chosen][:, colours]), label[chosen], label_smoothing=0.1
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def keep(name: str, folder: Path, recipe: Recipe | None = None) -> dict[str, Any]:
    """Train a network and write it, with what it is measured at once its weights are halved."""
    recipe = recipe or _recipe(name)
    trained = train(name, recipe).state_dict()
    halved = {n: w.half() if w.is_floating_point() else w for n, w in trained.items()}
    buffer = BytesIO()
    torch.save(halved, buffer)
    network = make(recipe)
    network.load_state_dict(
        {n: w.float() if w.is_floating_point() else w for n, w in halved.items()}
    )
    image, label, _ = pictures(recipe.test, recipe.test_seed)
    measured = {
        "sha256": sha256(buffer.getvalue()).hexdigest(),
        "accuracy": round(accuracy(network.eval(), image, label), 4),
        "baseline": round(label.bincount().max().item() / len(label), 4),
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "torch": torch.__version__,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}.pt", buffer.getvalue())
    path = folder / ABOUT
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps(known | {name: measured}, indent=1, sort_keys=True) + "\n"
    write_whole(path, text.encode())
    return measured


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UserError(f'no network is kept as "{name}".{nearest(name, RECIPES)}')
    return RECIPES[name]
