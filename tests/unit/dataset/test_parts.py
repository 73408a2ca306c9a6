"""Parts of a table: what is no Parquet file with the declared columns is refused in one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadgen.base.errors import DatasetError
from loadgen.dataset import part_size
from loadgen.dataset.folder import RunFolder
from loadgen.dataset.parts import Parts, read_parts
from loadgen.dataset.tables import REQUESTS, SAMPLES, TOKENS

ROW = {"t_s": 1.0, "signal": "ratio", "pod": "a", "value": 2.0}
SAMPLE = pa.Table.from_pylist([ROW], schema=SAMPLES)


def put(folder: Path, data: pa.Table, number: int = 0, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    part = folder / f"part-a-{number:06d}.parquet"
    pq.write_table(data, part, **options)
    return part


def replaced(column: str, values: pa.Array) -> pa.Table:
    return SAMPLE.set_column(SAMPLES.get_field_index(column), column, values)


def test_other_widths_are_converted(tmp_path: Path) -> None:
    """Of numbers and texts, where no value is lost; a missing integer is NaN as pandas writes it."""
    put(tmp_path, replaced("t_s", pa.array([1], pa.int32())))
    put(tmp_path, replaced("signal", pa.array(["ratio"]).dictionary_encode()), 1)
    put(tmp_path, replaced("signal", pa.array(["ratio"], pa.large_string())), 2)
    assert read_parts(tmp_path, SAMPLES).to_pylist() == [ROW] * 3
    tokens = tmp_path / "tokens"
    put(tokens, pa.table({"request_id": [1.0, float("nan")], "t_s": pa.array([[1, 2], None], pa.list_(pa.int32()))}))
    rows = [{"request_id": 1, "t_s": [1.0, 2.0]}, {"request_id": None, "t_s": None}]
    assert read_parts(tokens, TOKENS).to_pylist() == rows


@pytest.mark.parametrize(
    ("schema", "data", "says"),
    [
        (SAMPLES, SAMPLE.drop_columns(["signal"]), "it has no column signal"),
        (SAMPLES, replaced("t_s", pa.array(["1.0"])), "its column t_s has the type string in place of double"),
        (SAMPLES, replaced("signal", pa.array([1.0])), "its column signal has the type double in place of string"),
        (SAMPLES, SAMPLE.append_column("t_s", pa.array([1.0])), "it has the column t_s twice"),
        (TOKENS, pa.table({"request_id": [1], "t_s": [1.0]}), "its column t_s has the type double in place of list"),
        (TOKENS, pa.table({"request_id": [1.5], "t_s": [[1.0]]}), "its column request_id cannot be converted to int64"),
        (REQUESTS, pa.table({"a": [1]}), "it has no column request_id"),
    ],
)
def test_another_structure_is_refused(schema: pa.Schema, data: pa.Table, says: str, tmp_path: Path) -> None:
    """The sentence names the part, the column and what is wrong with it."""
    part = put(tmp_path, data)
    with pytest.raises(DatasetError) as raised:
        read_parts(tmp_path, schema)
    assert f"{part} cannot be read ({says}" in str(raised.value)


def test_a_link_to_a_part_is_read(tmp_path: Path) -> None:
    """As where a table was moved to another disk."""
    part = put(tmp_path / "elsewhere", SAMPLE)
    (tmp_path / "samples").symlink_to(part.parent)
    assert read_parts(tmp_path / "samples", SAMPLES).to_pylist() == [ROW]
    part.unlink()
    assert read_parts(tmp_path / "samples", SAMPLES).num_rows == 0


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    """In every page that a run writes, also where the value would look like another one."""
    folder = RunFolder(tmp_path)
    rows = [{"t_s": float(n), "signal": "ratio", "pod": "a", "value": n * 0.37} for n in range(50)]
    part = folder.append("samples", "a", rows)
    assert part is not None
    chunk = pq.read_metadata(part).row_group(0).column(3)
    data = bytearray(part.read_bytes())
    data[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 5] ^= 1
    part.write_bytes(data)
    with pytest.raises(DatasetError, match=r"part-a-000000\.parquet cannot be read"):
        folder.read("samples")


def test_a_table_beyond_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes can hold millions of values: 100,000 rows of 4 columns of 8 bytes, twice, are 6.4 MB."""
    constant = pa.table({name: pa.repeat(ROW[name], 100_000) for name in SAMPLES.names}).cast(SAMPLES)
    part = put(tmp_path, constant)
    assert part.stat().st_size < 50_000
    monkeypatch.setattr(part_size, "free_memory_bytes", lambda: 6_400_000)
    assert read_parts(tmp_path, SAMPLES).num_rows == 100_000
    put(tmp_path, SAMPLE, 1)
    with pytest.raises(DatasetError, match=r"part-a-000001.* needs 0\.0 GB of memory or more"):
        read_parts(tmp_path, SAMPLES)


def test_parts_of_a_long_run_are_read_in_order(tmp_path: Path) -> None:
    """Threads read them ahead of their turn; the error of a damaged one comes in its turn."""
    for number in range(150):
        put(tmp_path, replaced("t_s", pa.array([float(number)])), number)
    read = [table.column("t_s")[0].as_py() for table in Parts(tmp_path, SAMPLES)]
    assert read == [float(number) for number in range(150)]
    damaged = tmp_path / "part-a-000120.parquet"
    damaged.write_bytes(b"PAR1")
    read = []
    with pytest.raises(DatasetError, match=r"part-a-000120\.parquet cannot be read"):
        read.extend(table.num_rows for table in Parts(tmp_path, SAMPLES))
    assert len(read) == 120


def test_times_have_no_dictionary(tmp_path: Path) -> None:
    """All are different: they are split by the place of their bytes; texts keep their dictionary."""
    folder = RunFolder(tmp_path)
    samples = folder.append("samples", "a", [ROW])
    tokens = folder.append("tokens", "a", [{"request_id": 1, "t_s": [1.0, 2.5]}])
    assert samples is not None
    assert tokens is not None
    chunks = [pq.read_metadata(part).row_group(0) for part in (samples, tokens)]
    assert [chunks[0].column(n).has_dictionary_page for n in range(4)] == [False, True, True, False]
    assert "BYTE_STREAM_SPLIT" in chunks[1].column(1).encodings
    assert folder.table("tokens").to_pylist() == [{"request_id": 1, "t_s": [1.0, 2.5]}]


def equal_rows(count: int) -> pa.Table:
    return pa.table({name: pa.repeat(ROW[name], count) for name in SAMPLES.names}).cast(SAMPLES)


def long_text(rows: int, size: int) -> pa.Table:
    """As many rows with the same text, which is once on disk."""
    text = pa.DictionaryArray.from_arrays(pa.repeat(0, rows).cast(pa.int32()), pa.array(["x" * size]))
    return equal_rows(rows).set_column(SAMPLES.get_field_index("pod"), "pod", text)


def equal_times(rows: int, tokens: int) -> pa.Table:
    offsets = pa.array([tokens * number for number in range(rows + 1)], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.repeat(1.0, rows * tokens))
    return pa.table([pa.array(range(rows), pa.int64()), lists], schema=TOKENS)


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (SAMPLES, lambda: equal_rows(3_000_000)),
        (SAMPLES, lambda: long_text(500, 1 << 20)),
        (SAMPLES, lambda: long_text(300_000, 1 << 10)),
        (TOKENS, lambda: equal_times(1, 10_000_000)),
        (TOKENS, lambda: equal_times(1_000, 10_000)),
    ],
    ids=["rows", "a text in many rows", "a text in very many rows", "tokens of one row", "tokens"],
)
def test_a_small_part_that_becomes_large_is_refused_before_it_is_decoded(
    schema: pa.Schema, data: Callable[[], pa.Table], tmp_path: Path
) -> None:
    """Whatever memory is free: no part of a run needs 500 times its size."""
    part = put(tmp_path, data(), compression="zstd")
    assert part.stat().st_size < 200_000
    with pytest.raises(DatasetError, match=r"part-a-000000.* bytes on disk, and its values need 0\.[1-9] GB of memory"):
        list(Parts(tmp_path, schema)) if schema is TOKENS else read_parts(tmp_path, schema)


def test_a_long_text_is_read_where_it_is_small_enough(tmp_path: Path) -> None:
    """Texts that may become large are read as those of other parts."""
    data = long_text(100_000, 500)
    put(tmp_path, data)
    assert read_parts(tmp_path, SAMPLES).column("pod").to_pylist() == data.column("pod").to_pylist()


def test_a_hundred_copies_of_one_part_are_refused(tmp_path: Path) -> None:
    """Fewer are rows that are there twice, which the analysis counts."""
    for number in range(99):
        put(tmp_path, SAMPLE, number)
    assert read_parts(tmp_path, SAMPLES).num_rows == 99
    put(tmp_path, SAMPLE, 99)
    with pytest.raises(DatasetError, match=r" has 99 copies of part-a-000000\.parquet, such as part-a-000001\."):
        read_parts(tmp_path, SAMPLES)
