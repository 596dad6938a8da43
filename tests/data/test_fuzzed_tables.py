"""Tables of subjects and files of points that nobody thought of."""

import csv
import io
import json
import re

import numpy as np
from fuzzing import efforts, explore, reading
from hypothesis import strategies as st

from bench.data.landmarks.reading import read_points
from bench.data.sources.csv_table import read_table

CELLS = st.one_of(
    st.sampled_from(["a.nii.gz", "train", "NA", "1", "", " ", '"', '"a"', "a\nb", "é", "a;b"]),
    st.text(max_size=6),
)
HEADINGS = st.sampled_from(
    ["image", "labels", "split", "Image", "label", "id", "note", "", " image"]
)
READ = ("image", "labels", "split")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
COORDINATES = st.one_of(
    st.sampled_from(
        ["1", "2.5", "-3", "1e3", "", "nan", "inf", "1_0", "x", "y", "0x1", "١", '"1"']
    ),
    st.floats(width=32).map(str),
    st.text(max_size=3),
)


def lines_of(cells, headings=None):
    """Texts of tables, cells between commas as they are or as a program quotes them."""
    rows = st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=4)
    if headings is not None:
        first = st.lists(headings, min_size=1, max_size=4)
        rows = st.builds(lambda head, rest: [head, *rest], first, rows)
    return st.builds(_written, rows, st.booleans())


def _written(rows, quoted):
    if not quoted:
        return "\n".join(",".join(row) for row in rows)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def strict_rows(text):
    """Second reading of a table: cells as RFC 4180 has them; None if it is not one."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return None
    head, *rest = [[cell.strip() for cell in row] for row in rows if row] or [[]]
    if any(head.count(name) > 1 for name in READ) or any(any(row[len(head) :]) for row in rest):
        return None
    filled = [row + [""] * (len(head) - len(row)) for row in rest]
    return [{k: v for k, v in zip(head, row, strict=False) if k in READ} for row in filled]


@efforts
def test_table_of_subjects_is_read_as_it_stands_or_refused(effort, tmp_path):
    path = tmp_path / "subjects.csv"

    def check(text):
        path.write_bytes(text.encode(errors="surrogatepass"))
        rows = reading(lambda: read_table(path, READ[:1], optional=READ[1:]))
        if rows is not None:
            found = [{k: v for k, v in row.items() if k in READ} for row in rows]
            assert found == strict_rows(text.removeprefix("\ufeff"))

    explore(check, 300 * effort, text=lines_of(CELLS, HEADINGS))


@efforts
def test_points_are_the_numbers_of_their_file_or_refused(effort, tmp_path):
    path = tmp_path / "points.csv"

    def check(text):
        path.write_bytes(text.encode(errors="surrogatepass"))
        found = reading(read_points, path)
        if found is None:
            return
        assert np.isfinite(found.points).all(axis=None, where=~np.isnan(found.points))
        cells = [cell.strip() for row in csv.reader(text.splitlines(), strict=True) for cell in row]
        words = " ".join(cells).split()
        numbers = [float(word) for word in (*cells, *words) if NUMBER.fullmatch(word)]
        known = np.unique([*numbers, *(n - 1 for n in numbers)])
        assert np.isin(found.points[~np.isnan(found.points)], known).all()

    header = st.sampled_from(["x", "y", "z", "name", "t", "index", "1"])
    either = st.one_of(lines_of(COORDINATES), lines_of(COORDINATES, header))
    spaced = either.map(lambda text: text.replace(",", " "))
    explore(check, 400 * effort, text=st.one_of(either, spaced))


@efforts
def test_points_with_header_are_as_many_as_rows(effort, tmp_path):
    path = tmp_path / "points.csv"

    def check(text):
        path.write_text(text)
        found = reading(read_points, path)
        if found is not None:
            rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
            assert len(found.points) == len(rows) - 1

    names = st.sampled_from(["a", "b", '"', '"a', 'a"', '"a"', '"a,b"', '""'])
    row = st.builds("1,2,{}".format, names)
    tables = st.lists(row, min_size=1, max_size=4).map(lambda rows: "\n".join(["x,y,name", *rows]))
    explore(check, 100 * effort, text=tables)


@efforts
def test_markups_are_the_positions_of_their_json_or_refused(effort, tmp_path):
    path = tmp_path / "points.mrk.json"
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.just(10**400),
        st.floats(),
        st.sampled_from(["1", "1_0", "LPS", "defined", "undefined"]),
    )
    numbers = st.one_of(st.integers(-9, 9), st.floats(-9, 9))
    near = st.lists(st.one_of(numbers, numbers, scalars), min_size=3, max_size=3)
    positions = st.one_of(scalars, st.lists(scalars, max_size=4), near, near)
    control = st.fixed_dictionaries(
        {"position": positions}, optional={"label": scalars, "positionStatus": scalars}
    )
    controls = st.lists(st.one_of(control, control, scalars), max_size=3)
    markups = st.fixed_dictionaries(
        {"controlPoints": controls}, optional={"coordinateSystem": scalars}
    )

    lists = st.lists(markups, min_size=1, max_size=1)

    def check(content):
        path.write_text(json.dumps(content))
        found = reading(read_points, path)
        if found is None:
            return
        (part,) = content["markups"]
        assert len(found.points) == len(part["controlPoints"])
        for point, given in zip(found.points, part["controlPoints"], strict=True):
            if not np.isnan(point).any():
                assert all(type(value) in (int, float) for value in given["position"])
                assert np.array_equal(np.abs(point), np.abs(np.array(given["position"], float)))
                assert np.isfinite(point).all()
            else:
                assert given["positionStatus"] not in ("defined", "preview")

    explore(check, 300 * effort, content=st.fixed_dictionaries({"markups": lists}))


@efforts
def test_fiducials_are_as_many_as_lines_and_whole_or_refused(effort, tmp_path):
    path = tmp_path / "points.fcsv"
    columns = st.sampled_from(
        ["id,x,y,z,label", "label,x,y", "x,y,z", "id,x,y,z,ow,ox", "", "x,x,y,z"]
    )
    rows = st.lists(st.lists(COORDINATES, min_size=1, max_size=5).map(",".join), max_size=3)

    def check(columns, system, rows):
        head = ["# Markups fiducial file version = 4.11", f"# CoordinateSystem = {system}"]
        path.write_text("\n".join([*head, f"# columns = {columns}", *rows]))
        found = reading(read_points, path)
        if found is None:
            return
        names = columns.split(",")
        assert {"x", "y", "z"} <= set(names)
        lines = [line for line in "\n".join(rows).splitlines() if line.strip() and line[0] != "#"]
        assert len(found.points) == len(lines)
        for point, line in zip(found.points, lines, strict=True):
            (cells,) = csv.reader([line], strict=True)
            assert len(cells) > max(names.index(axis) for axis in "xyz")
            for value, axis in zip(point, "xyz", strict=True):
                cell = cells[names.index(axis)].strip()
                same = NUMBER.fullmatch(cell) and abs(value) == abs(float(cell))
                assert same or (np.isnan(value) and cell.lower() in ("", "nan"))

    system = st.sampled_from(["RAS", "LPS", "0", "1", "2", "LPI"])
    explore(check, 300 * effort, columns=columns, system=system, rows=rows)
