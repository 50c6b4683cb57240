"""Windows become maps of the whole image; a map times the values is what the layer reads."""

import torch
from einops import einsum, rearrange

from attncourse.book import maps
from solutions.stand_alone import local_attention, local_weights
from solutions.united import ShiftedWindowAttention


def local(height=5, width=4, window=3, heads=2, d=6, e=7):
    dice = torch.Generator().manual_seed(1)
    q, k = torch.randn(2, 1, heads, d, height, width, generator=dice, dtype=torch.float64)
    v = torch.randn(1, heads, e, height, width, generator=dice, dtype=torch.float64)
    rows, columns = torch.randn(2, heads, window, d // 2, generator=dice, dtype=torch.float64)
    return q, k, v, rows, columns, window


def test_a_window_becomes_a_row_of_the_map():
    q, k, _, rows, columns, window = local()
    weights = local_weights(q, k, rows, columns, window)[0]
    found = maps.from_windows(weights)
    assert found.shape == (2, 20, 20)
    wanted = torch.zeros(2, 20, 20, dtype=torch.float64)
    for h in range(5):
        for w in range(4):
            for dy in range(3):
                for dx in range(3):
                    y, x = h + dy - 1, w + dx - 1
                    if 0 <= y < 5 and 0 <= x < 4:
                        wanted[:, 4 * h + w, 4 * y + x] = weights[:, h, w, dy, dx]
    assert torch.equal(found, wanted)


def test_the_map_times_the_values_is_local_attention():
    q, k, v, rows, columns, window = local()
    found = maps.from_windows(local_weights(q, k, rows, columns, window)[0])
    read = einsum(found, rearrange(v, "1 head e h w -> head (h w) e"), "f i j, f j e -> f i e")
    wanted = local_attention(q, k, v, rows, columns, window)
    torch.testing.assert_close(read, rearrange(wanted, "1 head e h w -> head (h w) e"))


def test_the_map_times_the_values_is_attention_in_shifted_windows():
    torch.manual_seed(0)
    layer = ShiftedWindowAttention(6, 2, window=4, shift=2).double()
    x = torch.randn(1, 7, 9, 6, dtype=torch.float64)  # padded to 8 by 12, and rolled
    with torch.no_grad():
        found = maps.from_shifted(layer, x)
        assert found.shape == (2, 63, 63)
        torch.testing.assert_close(found.sum(-1), torch.ones(2, 63, dtype=torch.float64))
        v = rearrange(layer.qkv(x).chunk(3, -1)[2], "1 h w (head d) -> head (h w) d", head=2)
        read = rearrange(found @ v, "head (h w) d -> 1 h w (head d)", w=9)
        torch.testing.assert_close(layer.proj(read), layer(x))
