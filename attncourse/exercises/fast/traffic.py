"""The record of `fast.traffic`."""

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from solutions.fast.measure import traffic

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None


def traffic_trials():
    chosen = (
        (7, 3, None),
        (16, 5, None),
        (12, 5, 4),
        (11, 3, 4),
        (9, 2, 9),
        (6, 5, 8),
        (9, 4, 7),
        (8, 3, 1),
    )
    return tuple(
        Trial(
            f"for n={n}, d={d}" + (f", rows={rows}" if rows else ""),
            dict(n=n, d=d),
            {"n": n, "d": d} | ({"rows": rows} if rows else {}),
        )
        for n, d, rows in chosen
    )


def moved(n, d):
    return 4 * n * d + 4 * n * n


def moved_by_tiles(n, d, rows):
    return 2 * n * d + 2 * n * d * -(-n // rows)


def traffic_recipe(whole=moved, tiled=moved_by_tiles):
    def answer(n, d, rows=None):
        return whole(n, d) if rows is None else tiled(n, d, rows)

    return answer


def map_moved_once(n, d):
    """You count the map once. Scores are written, read by the softmax, shares written and read
    again: 4 n²."""
    return 4 * n * d + n * n


def map_moved_twice(n, d):
    """You count the map twice, written and read. There are two of them, scores and shares: 4
    n²."""
    return 4 * n * d + 2 * n * n


def map_moved_three_times(n, d):
    """You count the map three times. The scores are written and read, the shares are written
    and read: 4 n²."""
    return 4 * n * d + 3 * n * n


def output_forgotten(n, d):
    """You forget an n d: q, k and v are read *and* y is written, 4 n d."""
    return 3 * n * d + 4 * n * n


def map_alone(n, d):
    """You count the map alone. q, k and v are read and y is written: 4 n d more."""
    return 4 * n * n


def map_not_counted(n, d):
    """Without `rows` the map stands in memory: its 4 n² numbers are missing."""
    return 4 * n * d


def map_of_features(n, d):
    """You give the map d features. It has one number for each pair: 4 n²."""
    return 4 * n * d + 4 * n * n * d


def operations_for_numbers(n, d):
    """You count multiply-adds, 2 n² d. What is asked is how many numbers are moved: 4 n d + 4
    n²."""
    return 2 * n * n * d


def bytes_of_the_map(n, d):
    """You count bytes. What is asked is numbers; how many bytes one has comes later."""
    return 4 * moved(n, d)


def features_squared(n, d):
    """You take d² for n². The map has a number for each pair of tokens."""
    return 4 * n * d + 4 * d * d


def fractions_of_tiles(n, d, rows):
    """You take a fraction of a tile, n / rows. The last tile reads all of k and v as well:
    round up, and return an int."""
    return 2 * n * d + 2 * n * d * n / rows


def tiles_rounded_down(n, d, rows):
    """You round the number of tiles down. The last one, which is not full, reads all of k and v
    as well: `math.ceil(n / rows)`."""
    return 2 * n * d + 2 * n * d * (n // rows)


def one_tile_too_many(n, d, rows):
    """You count one tile of queries too many where `rows` divides n. Round up: `math.ceil(n /
    rows)`."""
    return 2 * n * d + 2 * n * d * (n // rows + 1)


def keys_read_once(n, d, rows):
    """You read k and v once. Each tile of queries reads all of them again."""
    return 4 * n * d


def keys_read_by_each_query(n, d, rows):
    """You read k and v once for each query. A tile of `rows` queries shares one reading."""
    return 2 * n * d + 2 * n * n * d


def queries_read_again(n, d, rows):
    """You move q and y once for each tile as well. A tile has its own queries: q is read once
    in all, y written once."""
    return 4 * n * d * -(-n // rows)


def values_forgotten(n, d, rows):
    """Each tile of queries reads k *and* v: 2 n d for each."""
    return 2 * n * d + n * d * -(-n // rows)


def last_tile_counted_full(n, d, rows):
    """You count q and y for whole tiles. The last one has fewer queries where `rows` does not
    divide n: q and y are n d each."""
    return -(-n // rows) * (2 * rows * d + 2 * n * d)


def log_sum_exp_counted(n, d, rows):
    """You count a number more for each query, such as its log-sum-exp. The rule here counts q,
    k, v and y alone."""
    return moved_by_tiles(n, d, rows) + n


def tiles_rounded(n, d, rows):
    """You round n / rows to the nearest. The last tile reads all of k and v, however few
    queries it has: round up."""
    return 2 * n * d + 2 * n * d * round(n / rows)


def tile_output_forgotten(n, d, rows):
    """You forget q or y: q is read and y written, 2 n d besides the keys and values."""
    return n * d + 2 * n * d * -(-n // rows)


def neither_q_nor_y(n, d, rows):
    """You count k and v alone. q is read and y written once: 2 n d more."""
    return 2 * n * d * -(-n // rows)


def rows_are_tiles(n, d, rows):
    """You take `rows` for the number of tiles. It is how many queries one has: there are n /
    rows of them, rounded up."""
    return 2 * n * d + 2 * n * d * rows


def tile_of_keys_alone(n, d, rows):
    """You let a tile of queries read as many keys as it has queries. It reads all n of them."""
    return 2 * n * d + 2 * rows * d * -(-n // rows)


def tiles_write_the_map(n, d, rows):
    """With `rows` the map is never moved: scores and shares stay on the chip. Leave its 4 n²
    out."""
    return 2 * n * d + 2 * n * d * -(-n // rows) + 4 * n * n


def tiles_as_without(n, d, rows):
    """You do not use `rows`. With it the map stays on the chip, and k and v are read once for
    each tile of queries."""
    return moved(n, d)


def traffic_added_up(n, d, rows=None):
    if rows is None:
        return sum([n * d] * 4) + sum([n**2] * 4)
    return sum(2 * d * min(rows, n - start) + 2 * d * n for start in range(0, n, rows))


def traffic_by_divmod(n, d, rows=None):
    whole, rest = divmod(n, rows) if rows else (0, 0)
    tiles = whole + (rest > 0)
    return 4 * n * (d + n) if rows is None else 2 * n * d * (1 + tiles)


EXERCISE = Exercise(
    id="fast.traffic",
    solution=traffic,
    probes={"traffic": ""},
    trials=traffic_trials,
    slips=family(
        traffic_recipe,
        paired=(
            map_moved_once,
            map_moved_twice,
            output_forgotten,
            tiles_rounded_down,
            keys_read_once,
            values_forgotten,
            queries_read_again,
        ),
        whole=(
            map_moved_once,
            map_moved_twice,
            map_moved_three_times,
            output_forgotten,
            map_alone,
            map_not_counted,
            map_of_features,
            operations_for_numbers,
            bytes_of_the_map,
            features_squared,
        ),
        tiled=(
            fractions_of_tiles,
            tiles_rounded_down,
            one_tile_too_many,
            keys_read_once,
            keys_read_by_each_query,
            queries_read_again,
            values_forgotten,
            last_tile_counted_full,
            log_sum_exp_counted,
            tiles_rounded,
            tile_output_forgotten,
            neither_q_nor_y,
            rows_are_tiles,
            tile_of_keys_alone,
            tiles_write_the_map,
            tiles_as_without,
        ),
    ),
    hints=(
        "Scores are written by one kernel and read by the next. How often is a number of"
        " the map moved until y is there? And q, k, v, y?",
        "Without `rows`: 4 n d, and the map four times. With `rows`: q and y once; for"
        " each of the ⌈n / rows⌉ tiles of queries all of k and v.",
        "rows is None: 4 n d + 4 n n\nelse: 2 n d + 2 n d ceil(n / rows)",
    ),
    minutes=6,
    difficulty=2,
    otherwise=(traffic_added_up, traffic_by_divmod),
    skip=frozenset({"gradients", "large", "strided", "float32", "device"}),
)
