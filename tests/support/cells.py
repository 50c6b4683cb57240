"""Cells of a notebook, run as a kernel runs them."""

import linecache
from itertools import count
from textwrap import dedent

_number = count()


class Notebook:
    """Its names, after the cells that ran."""

    def __init__(self):
        self.names = {"__name__": "__main__"}

    def run(self, text):
        """Run a cell; returns the names as they are then."""
        text, file = dedent(text), f"<cell of a test {next(_number)}>"
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
        exec(compile(text, file, "exec"), self.names)
        return self.names


IMPORTS = """
import math
import numpy as np
import torch
from einops import rearrange, reduce
from functools import partial as partially
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
"""
