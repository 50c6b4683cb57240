"""Whose notebook it is, however systems export it; nothing else is read."""

import io
import os
import zipfile

import pytest

from attncourse.classroom import submissions
from attncourse.classroom.submissions import collect
from attncourse.errors import UserError


def tree(root, *places):
    for place in places:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(place)
    return root


def zipped(files, path=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    if path is None:
        return out.getvalue()
    path.write_bytes(out.getvalue())
    return path


def whose(*paths, **more):
    return {one.student: len(one.notebooks) for one in collect(paths, **more)}


def test_folders_are_students(tmp_path):
    tree(tmp_path, "ann/05_channel.ipynb", "ann/06_spatial.ipynb", "bob/sheet3/x.ipynb")
    assert whose(tmp_path) == {"ann": 2, "bob": 1}


def test_loose_files_are_students(tmp_path):
    tree(tmp_path, "ann.ipynb", "bob.ipynb")
    assert whose(tmp_path) == {"ann": 1, "bob": 1}
    assert whose(tmp_path, one=True) == {tmp_path.name: 2}


def test_a_folder_of_chapters_is_one_student(tmp_path):
    folder = tree(tmp_path / "ann", "05_channel.ipynb", "06_spatial (1).ipynb")
    assert whose(folder) == {"ann": 2}


def test_names_of_canvas_and_moodle_are_read(tmp_path):
    canvas = zipped(
        {"lee_4_17_05_channel.ipynb": "1", "roy_LATE_5_18_a.ipynb": "2"}, tmp_path / "c.zip"
    )
    moodle = zipped(
        {
            "Ann Lee_31_assignsubmission_file_/a.ipynb": "1",
            "Bo_2_assignsubmission_file_/b.ipynb": "",
        },
        tmp_path / "m.zip",
    )
    assert whose(canvas) == {"lee": 1, "roy": 1}
    assert whose(moodle) == {"Ann Lee": 1, "Bo": 1}


def test_a_zip_within_one_folder_is_that_folder(tmp_path):
    path = zipped({"class/ann/a.ipynb": "1", "class/bob/a.ipynb": "2"}, tmp_path / "z.zip")
    assert whose(path) == {"ann": 1, "bob": 1}


def test_a_students_own_zip_is_opened(tmp_path):
    path = zipped(
        {"ann/work.zip": zipped({"deep/a.ipynb": "1"}), "bob/a.ipynb": "2"}, tmp_path / "z.zip"
    )
    assert whose(path) == {"ann": 1, "bob": 1}


def test_zips_in_a_folder_are_students(tmp_path):
    for name in ("ann", "bob"):
        zipped({"05_channel.ipynb": name}, tmp_path / f"{name}.zip")
    assert whose(tmp_path) == {"ann": 1, "bob": 1}


def test_nothing_in_ones_own_zip_is_anybody_elses(tmp_path):
    tree(tmp_path, "ann/a.ipynb")
    zipped({"ann/a.ipynb": "worse", "../ann/b.ipynb": "worse"}, tmp_path / "eve.zip")
    assert whose(tmp_path) == {"ann": 1, "eve": 2}


def test_zips_within_a_zip_share_one_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "WHOLE", 300_000)
    inner = zipped({f"{n}.ipynb": bytes(100_000) for n in range(9)})
    files = {"ann/a.ipynb": "1"} | {f"eve/{n}.zip": inner for n in range(9)}
    _, eve = collect([zipped(files, tmp_path / "z.zip")])
    assert sum(len(f.data) for f in eve.notebooks) <= 300_000
    assert any(f.why == "it is too large" for f in eve.notebooks)


def test_of_very_many_notebooks_some_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "NOTEBOOKS", 3)
    (eve,) = collect([tree(tmp_path, *(f"eve/{n}.ipynb" for n in range(9)))])
    assert len(eve.notebooks) == 3
    assert eve.notes == ["Of all notebooks only 3 were read."]


def test_what_is_hidden_is_not_handed_in(tmp_path):
    tree(
        tmp_path,
        "ann/a.ipynb",
        "ann/.ipynb_checkpoints/a.ipynb",
        "ann/._a.ipynb",
        "__MACOSX/b/a.ipynb",
    )
    assert whose(tmp_path) == {"ann": 1}


def test_modules_lie_beside_a_notebook(tmp_path):
    (ann,) = collect([tree(tmp_path, "ann/a.ipynb", "ann/mine.py")])
    assert ann.modules == {"mine.py": b"ann/mine.py"}


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_text("secret")
    folder = tree(tmp_path / "in", "ann/a.ipynb")
    os.symlink(secret, folder / "ann" / "b.ipynb")
    (ann,) = collect([folder])
    assert {f.path: f.why for f in ann.notebooks}["ann/b.ipynb"].startswith("it is a link")
    assert b"secret" not in [f.data for f in ann.notebooks]


def test_members_with_wild_paths_are_labels_alone(tmp_path):
    path = zipped({"../../x/a.ipynb": "1", "/etc/b.ipynb": "2"}, tmp_path / "z.zip")
    assert whose(path) == {"x": 1, "etc": 1}
    assert not (tmp_path.parent / "x").exists()


def test_links_in_a_zip_are_not_followed(tmp_path):
    link = zipfile.ZipInfo("ann/a.ipynb")
    link.external_attr = 0o120777 << 16
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    (ann,) = collect([path])
    assert ann.notebooks[0].why.startswith("it is a link")


def test_a_bomb_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "LARGEST", 10**6)
    path = zipped({"ann/a.ipynb": bytes(10**7), "bob/a.ipynb": "1"}, tmp_path / "z.zip")
    ann, bob = collect([path])
    assert ann.notebooks[0].why == "it is too large"
    assert bob.notebooks[0].data == b"1"


@pytest.mark.parametrize("data", [b"no zip", b"PK\x03\x04" + bytes(50)])
def test_a_broken_zip_is_told(tmp_path, data):
    (tmp_path / "ann.zip").write_bytes(data)
    (ann,) = collect([tmp_path / "ann.zip"])
    assert "zip cannot be read" in ann.notebooks[0].why


def test_names_hold_no_control_characters(tmp_path):
    path = zipped({"a\x1b[31m\u202e/b\x07.ipynb": "1"}, tmp_path / "z.zip")
    (one,) = collect([path])
    assert one.student == "a_[31m_"
    assert one.notebooks[0].path.isprintable()


def test_what_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        collect([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="there is no notebook"):
        collect([tmp_path])
