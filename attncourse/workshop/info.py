"""What the course runs on here, and which optional parts are missing."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from attncourse import places

PACKAGES = (
    "attncourse",
    "torch",
    "einops",
    "numpy",
    "scikit-learn",
    "matplotlib",
    "jupyterlab",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ORACLES = (
    "positional_encodings",
    "conformer",
    "pytorchcv",
    "mmcv",
    "captum",
    "halonet_pytorch",
    "bottleneck_transformer_pytorch",
    "local_attention",
    "natten",
)


def chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine, for the browser tests."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def versions() -> dict[str, str]:
    """Python and the packages that matter for what one sees."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def devices() -> dict[str, str]:
    """What torch can compute on."""
    import torch

    found = {"CPU": f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"}
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        found[f"cuda:{i}"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    if not torch.cuda.is_available():
        found["CUDA"] = "none; the course does without"
    if torch.backends.mps.is_available():
        found["MPS"] = "available"
    return found


def fast() -> dict[str, str]:
    """Which fast implementations there are here, on the CPU the one that is taken first, and
    where kernels in Triton run. Nothing where the solutions are not installed."""
    try:
        from solutions.fast import gpu, native
    except ImportError:
        return {}

    def here(kernel: str, others: str) -> str:
        why = native.available(kernel)
        return f"{others}; no native kernel: {why}" if why else f"native, {others}"

    return {
        "fast local": here("local", "blocked"),
        "fast relative": here("relative_2d", "rows, augmented"),
        "fast sparse": "pieces",
        "fast attention": "torch, tiled",
        "fast kernels": gpu.status(),
    }


def optional() -> dict[str, tuple[bool, str]]:
    """What the course can do without: whether it is here, and what it is for."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang", "cl"))), None)
    return {
        "chromium": (chromium() is not None, "browser tests of the notebooks"),
        "playwright": (
            find_spec("playwright") is not None,
            f"browser tests of the notebooks: {places.extra('test')}",
        ),
        "sentencepiece": (
            find_spec("sentencepiece") is not None and find_spec("sacrebleu") is not None,
            f"the translator, with sacrebleu: {places.extra('translate')}",
        ),
        "optuna": (
            find_spec("optuna") is not None,
            f"the search for a placement, attncourse train search: {places.extra('study')}",
        ),
        "oracles": (
            all(map(find_spec, ORACLES)),
            f"independent implementations that tests compare with: {places.extra('oracles')}",
        ),
        "C compiler": (
            compiler is not None,
            "the native kernels of local and relative attention, torch.compile on the CPU",
        ),
        "triton": (
            find_spec("triton") is not None,
            "kernels on an NVIDIA GPU, and their interpreter on any CPU under Linux: "
            f"{places.extra('kernels')}",
        ),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
