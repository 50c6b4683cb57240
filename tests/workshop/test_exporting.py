"""What passed becomes a package that is installed and tested without the course."""

import os
import subprocess
import sys
import tomllib

import pytest
from cells import IMPORTS, Notebook
from typer.testing import CliRunner

from attncourse import check, cli, places
from attncourse.errors import UserError
from attncourse.mine import shelf
from attncourse.workshop.exporting import export, package_name

SQUEEZE = "def squeeze(x):\n    return x.mean((-2, -1))"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder in which three answers have passed, one of them with the course's help."""
    made = tmp_path / "work"
    made.mkdir()
    (made / places.MARK).write_text("{}")
    monkeypatch.chdir(made)
    notebook = Notebook()
    notebook.run(IMPORTS)
    names = notebook.run(f"from solutions.channel import bottleneck\n{SQUEEZE}")
    assert check("channel.squeeze", names["squeeze"])
    names = notebook.run(
        """
        class SqueezeExcite(nn.Module):
            def __init__(self, channels, reduction=16, bias=False):
                super().__init__()
                middle = bottleneck(channels, reduction)
                self.first = nn.Linear(channels, middle, bias=bias)
                self.second = nn.Linear(middle, channels, bias=bias)

            def attention(self, x):
                return self.second(F.relu(self.first(squeeze(x)))).sigmoid()

            def forward(self, x):
                return x * rearrange(self.attention(x), "b c -> b c 1 1")
        """
    )
    assert check("channel.squeeze_excite", names["SqueezeExcite"])
    names = notebook.run(
        """
        def added_parameters(stages, reduction=16, bias=False):
            return sum(
                n * (2 * c * bottleneck(c, reduction) + bias * (c + bottleneck(c, reduction)))
                for n, c in stages
            )
        """
    )
    assert check("channel.added_parameters", names["added_parameters"])
    return made


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_package_holds_what_passed_and_says_whose_it_is(work, tmp_path):
    made = export(work, tmp_path / "Ada-Attention", 'Ada "A." Lovelace')
    assert made.package == "ada_attention"
    assert made.ids == ["channel.squeeze", "channel.squeeze_excite", "channel.added_parameters"]
    about = tomllib.loads((made.folder / "pyproject.toml").read_text())["project"]
    assert about["authors"] == [{"name": 'Ada "A." Lovelace'}]
    assert about["dependencies"] == ["einops>=0.8", "torch>=2.7"]
    assert {
        "README.md",
        "LICENSE-attncourse.txt",
        "src/ada_attention/__init__.py",
        "src/ada_attention/channel/squeeze_excite.py",
        "tests/recorded/channel.squeeze_excite.pt",
    } <= files(made.folder)
    readme = (made.folder / "README.md").read_text()
    assert 'Ada "A." Lovelace' in readme
    assert "`SqueezeExcite`" in readme
    assert "`solutions.channel.bottleneck`" in readme
    kept = shelf.path_of(work, "channel.squeeze").read_text()
    assert (made.folder / "src/ada_attention/channel/squeeze.py").read_text() == kept


@pytest.fixture
def installed(work, tmp_path):
    """The exported package, installed in a folder by pip, without a network."""
    pytest.importorskip("setuptools", reason="nothing that builds a package")
    made = export(work, tmp_path / "ada", "Ada")
    options = "--quiet --no-index --no-deps --no-build-isolation --target"
    command = [sys.executable, "-m", "pip", "install", *options.split(), str(tmp_path / "site")]
    subprocess.run([*command, str(made.folder)], check=True, cwd=tmp_path)
    return made.folder


def run(folder, *arguments):
    """Run Python beside what is installed; importing the course is an error."""
    (folder / "no").mkdir(exist_ok=True)
    for name in ("solutions", "attncourse"):
        (folder / "no" / f"{name}.py").write_text("raise ImportError('not here')")
    paths = os.pathsep.join([str(folder.parent / "site"), str(folder / "no")])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )


def test_installed_it_needs_nothing_of_the_course(installed):
    program = "import ada; print(ada.SqueezeExcite.__module__, ada.channel.squeeze.__name__)"
    ran = run(installed, "-c", program)
    assert ran.stdout == "ada.channel.squeeze_excite squeeze\n", ran.stderr


def test_its_tests_pass_and_can_fail(installed):
    ran = run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr
    path = installed.parent / "site" / "ada" / "channel" / "squeeze.py"
    path.write_text(path.read_text().replace("x.mean", "x.sum"))
    ran = run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 failed, 2 passed" in ran.stdout


def test_nothing_is_written_over(work, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="nothing is written over"):
        export(work, tmp_path / "there", "Ada")
    assert list((tmp_path / "there").iterdir()) == []


def test_where_nothing_passed_it_says_so(tmp_path):
    with pytest.raises(UserError, match="nothing is kept in"):
        export(tmp_path, tmp_path / "ada", "Ada")
    assert not (tmp_path / "ada").exists()


def test_what_was_spoilt_by_hand_is_left_out_and_told(work, tmp_path):
    path = shelf.path_of(work, "channel.squeeze")
    path.write_text(path.read_text().replace("x.mean", "x.sum"))
    shelf.path_of(work, "channel.squeeze_excite").write_text("spoilt")
    path = shelf.path_of(work, "channel.added_parameters")
    path.write_text(path.read_text() + "# a word more\n")
    made = export(work, tmp_path / "ada", "Ada")
    assert made.ids == ["channel.added_parameters"]
    assert made.left_out["channel.squeeze"] == "changed by hand, and not yet now"
    assert "does not begin" in made.left_out["channel.squeeze_excite"]


def test_half_a_package_is_never_left(work, tmp_path, monkeypatch):
    from attncourse.workshop import exporting

    monkeypatch.setattr(exporting, "_record", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(work, tmp_path / "ada", "Ada")
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


@pytest.mark.parametrize("name", ["torch", "class", "3d", "json", "attncourse", "--"])
def test_a_name_that_cannot_be_imported_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="name"):
        package_name(tmp_path / name)


def test_the_command_says_where_it_is(work, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "TOP", tmp_path)  # as installed: the work folder one stands in
    result = CliRunner().invoke(cli.app, ["export", str(tmp_path / "ada"), "--name", "Ada"])
    assert result.exit_code == 0, result.output
    assert "3 answers of yours in" in result.stdout
    again = CliRunner().invoke(cli.app, ["export", str(tmp_path / "ada"), "--name", "\n"])
    assert again.exit_code == 1
    assert "--name" in again.stderr
