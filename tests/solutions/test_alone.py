"""The library alone: its wheel, and an environment in which nothing else can be imported."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from every_layer import library_modules

from solutions import fast

ROOT = Path(__file__).parents[2]
OURS = tomllib.loads((ROOT / "solutions/pyproject.toml").read_text(encoding="utf-8"))["project"]
COURSE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDS = ("torch", "einops", "jaxtyping")

PROGRAM = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder
site, packages, allowed = sys.argv[1], sys.argv[2], set(sys.argv[3].split())
sys.path[:] = [site, *(p for p in sys.path if "site-packages" not in p), packages]

class Only(PathFinder):  # what is not allowed is not installed
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in allowed or top in sys.stdlib_module_names or top[0] == "_"
        return PathFinder.find_spec(name, path, target) if known else None

sys.meta_path[sys.meta_path.index(PathFinder)] = Only
for refused in ("numpy", "attncourse", "triton", "pytest", "matplotlib"):
    try:
        importlib.import_module(refused)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{refused} can be imported: this proves nothing")
import solutions
assert solutions.__file__.startswith(site), solutions.__file__
for module in pkgutil.walk_packages(solutions.__path__, "solutions."):
    if not module.name.endswith("_triton"):
        importlib.import_module(module.name)
import torch
x = torch.randn(2, 16, 5, 7)
for name in solutions.list_attention():
    for fast in (False, True):
        assert solutions.create_attention(name, 16, fast=fast)(x).shape == x.shape, name
print("alone", len(sys.modules))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The wheel, unpacked where pip would have put it."""
    out, place = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    built = subprocess.run(command, cwd=ROOT / "solutions", capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = out.glob("attncourse_solutions-*.whl")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def needed(*names):
    """What these distributions ask for, and what those do, as names to import."""
    found, left = set(), list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            asked = requires(name) or ()
        except ModuleNotFoundError:  # for another system
            continue
        left += [re.match(r"[\w.-]+", line)[0] for line in asked if "extra ==" not in line]
    return {
        module
        for module, distributions in packages_distributions().items()
        if {re.sub(r"[-_.]+", "-", d).lower() for d in distributions} & found
    }


def test_the_wheel_is_whole(site):
    kinds = {".py", ".c", ".h"}
    here = ROOT / "solutions"
    wanted = {p.relative_to(here) for p in here.rglob("*") if p.suffix in kinds}
    packed = {p.relative_to(site / "solutions") for p in (site / "solutions").rglob("*.*")}
    assert packed == {*wanted, Path("py.typed")}


def test_it_needs_torch_einops_and_jaxtyping_alone(site):
    assert [re.match(r"\w+", line)[0] for line in OURS["dependencies"]] == list(NEEDS)
    allowed = needed(*NEEDS) | {"solutions"}
    assert allowed >= {"torch", "einops", "jaxtyping"}
    allowed -= {"triton", "numpy"}
    given = str(site), sysconfig.get_path("purelib"), " ".join(allowed)
    ran = subprocess.run(
        [sys.executable, "-I", "-W", "error:::solutions", "-c", PROGRAM, *given],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.startswith("alone")


def test_its_bounds_and_version_are_those_of_the_course():
    asked = {re.match(r"\w+", line)[0]: line for line in COURSE["dependencies"]}
    assert OURS["dependencies"] == [asked[name] for name in NEEDS]
    kernels = "optional-dependencies"
    assert OURS[kernels]["kernels"] == COURSE[kernels]["kernels"]
    for name in ("version", "requires-python", "license"):
        assert OURS[name] == COURSE[name]


# Names: one of a name, unless it is meant.

MEANT = {
    "local_attention": ["sparse", "stand_alone"],  # on a line, on a map
    "multiply_adds": ["multi_head", "non_local", "relative_2d", "stand_alone"],
    "parameters": ["multi_head", "relative_2d", "stand_alone", "transformer"],
    "from_torch": ["multi_head", "transformer"],  # of torch's attention, of its layers
    "windows": ["backbones.residual", "stand_alone"],
}
AS_WELL = {  # the switch, what takes a whole network; fast, with no reference of its name
    "faster",
    "in_use",
    "tiled_attention",
    "use",
}


def test_a_name_stands_for_one_thing_or_is_meant_to_stand_for_two():
    places = {}
    for module in library_modules():
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == module.__name__ and name[0] != "_"
            if own and not module.__name__.startswith("solutions.fast"):
                places.setdefault(name, []).append(module.__name__.partition(".")[2])
    assert {n: sorted(m) for n, m in places.items() if len(m) > 1} == MEANT
    assert set(fast.__all__) - AS_WELL <= set(places)
