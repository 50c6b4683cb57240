"""How many numbers one head of attention moves, with its map in memory and by tiles."""

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.fast.measure import traffic


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


# fmt: off
WHOLE = (
    *often(
        wrong("map_moved_once", "4 * n * n", "n * n",
              "You count the map once. Scores are written, read by the softmax, shares written"
              " and read again: 4 n²."),
        wrong("map_moved_twice", "4 * n * n", "2 * n * n",
              "You count the map twice, written and read. There are two of them, scores and"
              " shares: 4 n²."),
        wrong("output_forgotten", "4 * n * d", "3 * n * d",
              "You forget an n d: q, k and v are read *and* y is written, 4 n d."),
    ),
    wrong("keys_alone_again", "2 * n * d + 2 * n * d *", "3 * n * d + n * d *",
          "You read the keys again for each tile of queries, but the values once. Both are read for"
          " each tile."),
    wrong("queries_again", "2 * n * d + 2 * n * d *", "n * d + 3 * n * d *",
          "You read the queries again for each tile. Each query is in one tile: q is read once."),
    wrong("map_moved_three_times", "4 * n * n", "3 * n * n",
          "You count the map three times. The scores are written and read, the shares are written"
          " and read: 4 n²."),
    wrong("map_alone", "4 * n * d + ", "",
          "You count the map alone. q, k and v are read and y is written: 4 n d more."),
    wrong("map_not_counted", " + 4 * n * n", "",
          "Without `rows` the map stands in memory: its 4 n² numbers are missing."),
    wrong("map_of_features", "4 * n * n", "4 * n * n * d",
          "You give the map d features. It has one number for each pair: 4 n²."),
    wrong("operations_for_numbers", "4 * n * d + 4 * n * n", "2 * n * n * d",
          "You count multiply-adds, 2 n² d. What is asked is how many numbers are moved: 4 n d +"
          " 4 n²."),
    wrong("bytes_of_the_map", "4 * n * d + 4 * n * n", "4 * (4 * n * d + 4 * n * n)",
          "You count bytes. What is asked is numbers; how many bytes one has comes later."),
    wrong("features_squared", "4 * n * n", "4 * d * d",
          "You take d² for n². The map has a number for each pair of tokens."),
)

TILES = (
    *often(
        wrong("tiles_rounded_down", "math.ceil(n / rows)", "(n // rows)",
              "You round the number of tiles down. The last one, which is not full, reads all of"
              " k and v as well: `math.ceil(n / rows)`."),
        wrong("keys_read_once", " * math.ceil(n / rows)", "",
              "You read k and v once. Each tile of queries reads all of them again."),
        wrong("queries_read_again", "2 * n * d + 2 * n * d * math", "4 * n * d * math",
              "You move q and y once for each tile as well. A tile has its own queries: q is read"
              " once in all, y written once."),
        wrong("values_forgotten", "+ 2 * n * d * math", "+ n * d * math",
              "Each tile of queries reads k *and* v: 2 n d for each."),
    ),
    wrong("fractions_of_tiles", "math.ceil(n / rows)", "n / rows",
          "You take a fraction of a tile, n / rows. The last tile reads all of k and v as well:"
          " round up, and return an int."),
    wrong("one_tile_too_many", "math.ceil(n / rows)", "(n // rows + 1)",
          "You count one tile of queries too many where `rows` divides n. Round up: `math.ceil(n"
          " / rows)`."),
    wrong("keys_read_by_each_query", "math.ceil(n / rows)", "n",
          "You read k and v once for each query. A tile of `rows` queries shares one reading."),
    wrong("last_tile_counted_full", "2 * n * d + 2 * n * d * math",
          "(2 * rows * d + 2 * n * d) * math",
          "You count q and y for whole tiles. The last one has fewer queries where `rows` does"
          " not divide n: q and y are n d each."),
    wrong("log_sum_exp_counted", "return 2 * n * d", "return n + 2 * n * d",
          "You count a number more for each query, such as its log-sum-exp. The rule here counts"
          " q, k, v and y alone."),
    wrong("tiles_rounded", "math.ceil(n / rows)", "round(n / rows)",
          "You round n / rows to the nearest. The last tile reads all of k and v, however few"
          " queries it has: round up."),
    wrong("tile_output_forgotten", "return 2 * n * d", "return n * d",
          "You forget q or y: q is read and y written, 2 n d besides the keys and values."),
    wrong("neither_q_nor_y", "return 2 * n * d + ", "return ",
          "You count k and v alone. q is read and y written once: 2 n d more."),
    wrong("rows_are_tiles", "math.ceil(n / rows)", "rows",
          "You take `rows` for the number of tiles. It is how many queries one has: there are n /"
          " rows of them, rounded up."),
    wrong("tile_of_keys_alone", "+ 2 * n * d * math", "+ 2 * rows * d * math",
          "You let a tile of queries read as many keys as it has queries. It reads all n of them."),
    wrong("tiles_write_the_map", "math.ceil(n / rows)", "math.ceil(n / rows) + 4 * n * n",
          "With `rows` the map is never moved: scores and shares stay on the chip. Leave its 4 n²"
          " out."),
    wrong("tiles_as_without", "2 * n * d + 2 * n * d * math.ceil(n / rows)",
          "4 * n * d + 4 * n * n",
          "You do not use `rows`. With it the map stays on the chip, and k and v are read once"
          " for each tile of queries."),
)
# fmt: on


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
    slips=(*WHOLE, *TILES),
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
