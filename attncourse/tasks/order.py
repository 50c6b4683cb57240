"""Made-up tasks in which order or place is all that matters, and the small network for them."""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.scaled_dot_product import scaled_dot_product_attention

SYMBOLS = 64


def rows_of_symbols(examples: int, length: int) -> Int[Tensor, "b n"]:
    """Rows of different symbols in random order, each out of 64: every token must name its left
    neighbour.

    Who does not see the order can do no better than 1 / (length - 1).
    """
    if not 2 <= length <= SYMBOLS:
        raise ValueError(f"{length=}: a row has at least 2 and at most {SYMBOLS} symbols")
    return torch.rand(examples, SYMBOLS).argsort(-1)[:, :length]


def plain(q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> Tensor:
    """Attention that is told positions and does not listen."""
    return scaled_dot_product_attention(q, k, v)


class Reader(nn.Module):
    """Embeds symbols, attends once, names a symbol for each token.

    places  makes a vector for each position, n dim, to be added to the tokens
    attend  is attention, called with q, k, v and the positions
    part    a module to be trained along, if `places` or `attend` has one
    """

    def __init__(
        self,
        places: Callable[[Int[Tensor, " n"]], Float[Tensor, "n dim"]] | None = None,
        attend: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = plain,
        part: nn.Module | None = None,
        dim: int = 32,
    ):
        super().__init__()
        self.symbol = nn.Embedding(SYMBOLS, dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.name = nn.Linear(dim, SYMBOLS)
        self.places, self.attend, self.part = places, attend, part

    def forward(self, tokens: Int[Tensor, "b n"], start: int = 0) -> Float[Tensor, "b n s"]:
        """Scores of all symbols for each token; the first token stands at position `start`."""
        positions = start + torch.arange(tokens.shape[-1], device=tokens.device)
        x = self.symbol(tokens)
        if self.places is not None:
            x = x + self.places(positions)
        q, k, v = rearrange(self.qkv(x), "b n (part d) -> part b n d", part=3)
        return self.name(self.attend(q, k, v, positions))


def train_reader(
    make: Callable[[], Reader], seed: int, steps: int = 600, length: int = 16, starts: int = 1
) -> Reader:
    """Make a reader and teach it to name left neighbours.

    Each batch begins at a random one of the first `starts` positions.
    """
    torch.manual_seed(seed)
    reader = make()
    optimizer = torch.optim.Adam(reader.parameters(), lr=5e-3)
    for _ in range(steps):
        tokens = rows_of_symbols(32, length)
        said = reader(tokens, int(torch.randint(starts, ())))
        loss = F.cross_entropy(
            rearrange(said[:, 1:], "b n s -> (b n) s"),
            rearrange(tokens[:, :-1], "b n -> (b n)"),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader


@torch.no_grad()
def accuracy(reader: Reader, length: int = 16, start: int = 0, examples: int = 100) -> float:
    """The share of left neighbours named rightly, on rows that do not depend on the caller."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 + length)
        tokens = rows_of_symbols(examples, length)
    named = reader(tokens, start)[:, 1:].argmax(-1)
    return (named == tokens[:, :-1]).float().mean().item()


def dots(height: int, width: int) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2"]]:
    """Every image with one bright pixel, and where it is: column and row, each from -1 to 1."""
    images = rearrange(torch.eye(height * width), "b (h w) -> b 1 h w", h=height)
    rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return images, torch.cartesian_prod(rows, columns).flip(-1)


def train_finder(make: Callable[[], nn.Module], seed: int, steps: int = 400) -> nn.Module:
    """Teach a convolution to 32 channels to say where the dot is, by the largest value of each.

    Returns the trained network: images to column and row.
    """
    torch.manual_seed(seed)
    pool = [nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten()]
    finder = nn.Sequential(make(), *pool, nn.Linear(32, 2))
    images, where = dots(9, 13)
    optimizer = torch.optim.Adam(finder.parameters(), lr=2e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(finder(images), where).backward()
        optimizer.step()
    return finder
