import os
import tempfile

import pyarrow as pa
import pytest

from latentgen import seeds, tables
from latentgen.files import atomic, share


def test_atomic_file_is_absent_after_an_error_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with pytest.raises(RuntimeError, match="boom"), atomic(target) as path:
        path.write_text("half")
        raise RuntimeError("boom")
    assert list(target.parent.iterdir()) == []


def test_atomic_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with atomic(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new" and [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o027, 0o640, 0o750), (0o002, 0o664, 0o775)])
def test_atomic_files_and_shared_folders_have_the_users_permissions(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        with atomic(tmp_path / "file") as path:
            path.write_text("")
        share(made := tempfile.mkdtemp(dir=tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == file
    assert os.stat(made).st_mode & 0o777 == folder


def test_seed_streams_are_fixed_and_distinct():
    assert seeds.derive("order", 0, 1) == seeds.derive("order", 0, 1)
    keys = [("order", 0, 1), ("order", 1, 0), ("order", 0, 11), ("order", "0/1"), ("noise", 0, 1)]
    streams = {seeds.derive(*key) for key in keys}
    assert len(streams) == len(keys) - 1  # a key is its text: ("order", "0/1") is ("order", 0, 1)
    assert all(0 <= stream < 2**63 for stream in streams)
    # A value written down, so that a change of the mapping cannot pass unseen: it would change every result.
    assert seeds.derive("noise selection", 0) == 8184769633341072348


SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string())])


def test_rows_must_have_exactly_the_columns():
    assert tables.from_rows([{"a": 1, "b": "x"}], SCHEMA).num_rows == 1
    assert tables.from_rows([], SCHEMA).schema == SCHEMA
    for row in ({"a": 1}, {"a": 1, "b": "x", "c": 2}):
        with pytest.raises(ValueError, match="columns"):
            tables.from_rows([row], SCHEMA)


def test_concatenation_keeps_order_and_refuses_another_schema(tmp_path):
    for name, value in (("one", 1), ("two", 2)):
        tables.write(tables.from_rows([{"a": value, "b": name}], SCHEMA), tmp_path / name)
    tables.concatenate([tmp_path / "two", tmp_path / "one"], SCHEMA, tmp_path / "both")
    assert tables.read(tmp_path / "both")["a"].tolist() == [2, 1]
    tables.write(pa.table({"a": [1]}), tmp_path / "other")
    with pytest.raises(ValueError, match="other"):
        tables.concatenate([tmp_path / "one", tmp_path / "other"], SCHEMA, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        tables.write(tables.from_rows([{"a": 1, "b": "x"}], SCHEMA), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
