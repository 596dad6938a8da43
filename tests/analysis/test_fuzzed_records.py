"""Folders of runs that somebody, or a disk, has changed in a way nobody thought of."""

import copy
import csv
import json
import math
from contextlib import contextmanager

import yaml
from fuzzing import altered, efforts, explore, reading
from hypothesis import strategies as st
from synthetic_store import config, fail_run, write_run
from typer.testing import CliRunner

from bench.analysis.reading.records import collect
from bench.analysis.reading.rows import read_rows
from bench.cli.run_commands import app
from bench.store.escaping import from_csv
from bench.store.files import read_json, write_csv
from bench.store.folder import Folder
from bench.store.standing import Status

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(),
    st.sampled_from(["", "finished", "x", "\x1b[31m", "=1+1", "nan", [], {}, [1], {"mean": "x"}]),
)
FORMS = ("table", "csv", "json")


def places(content, place=()):
    """Where values stand in nested mappings and lists."""
    if place:
        yield place
    entries = content.items() if isinstance(content, dict) else ()
    if isinstance(content, list):
        entries = enumerate(content)
    for key, value in entries:
        yield from places(value, (*place, key))


def replaced(content, write):
    """Texts of a mapping in which a value is another one, or gone."""

    def apply(place, value, gone):
        found = copy.deepcopy(content)
        *above, last = place
        node = found
        for key in above:
            node = node[key]
        node[last] = value
        if gone:
            del node[last]
        return write(found).encode()

    return st.builds(apply, st.sampled_from([*places(content)]), VALUES, st.booleans())


def changes(folder):
    """Files of a run with other content."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        either = [altered(content)]
        if path.suffix == ".json":
            either.append(replaced(json.loads(content), json.dumps))
        if path.suffix == ".yaml":
            either.append(replaced(yaml.safe_load(content), yaml.safe_dump))
        found.append(st.tuples(st.just(path), st.one_of(either)))
    return st.one_of(found)


def listed(folder, form):
    """`bench runs` on the results that a run is in; what it refuses it refuses in one line."""
    outcome = CliRunner().invoke(app, ["--results", str(folder.parents[1]), "--format", form])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome.output


@contextmanager
def changed(path, content):
    """A file with other content, for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield path
    finally:
        path.write_bytes(before)


def second_reading(path):
    """The numbers of a table by name, as csv and float have them; NaN for what is not there."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    return {
        name: [float(row[name] or "nan") for row in rows]
        for name in rows[0]
        if name not in ("moving", "fixed", "class")
    }


@efforts
def test_rows_come_back_as_they_were_written(effort, tmp_path):
    """Whatever subjects and classes are called; csv and pandas read the same names."""
    path = tmp_path / "classes.csv"
    odd = st.lists(st.sampled_from([*"\r\n,\"'=\t a\0#", "NA"]), max_size=4).map("".join)
    names = st.one_of(odd, st.text(max_size=4))

    def check(rows):
        written = [{"moving": a, "class": b, "dice": dice} for a, b, dice in rows]
        write_csv(path, written)
        assert read_rows(path).to_dict("records") == written
        with open(path, newline="", encoding="utf-8") as file:
            cells = [(row["moving"], row["class"]) for row in csv.DictReader(file, strict=True)]
        assert [tuple(map(from_csv, pair)) for pair in cells] == [row[:2] for row in rows]

    row = st.tuples(names, names, st.floats(-1, 1))
    explore(check, 200 * effort, rows=st.lists(row, min_size=1, max_size=3))


@efforts
def test_changed_file_of_an_old_run_is_refused_or_read_as_it_stands(effort, tmp_path):
    """Its summary knows no checksums."""
    folder = write_run(tmp_path, config(), [0.5, math.nan, 0.7])

    def check(change, form):
        with changed(*change) as path:
            records = reading(collect, [Folder(folder)])
            listed(folder, form)
            assert records is not None
            for name in ("pairs.csv", "classes.csv", "history.csv"):
                if folder.name not in records.summaries:
                    assert records.table(name).empty
                elif path.name == name:
                    rows = records.table(name)
                    for column, numbers in second_reading(path).items():
                        same = zip(rows[column], numbers, strict=True)
                        assert all(a == b or (a != a and b != b) for a, b in same)
            if folder.name in records.summaries:
                assert records.summaries[folder.name] == json.loads(
                    (folder / "summary.json").read_text()
                )
                assert records.configs[folder.name] == yaml.safe_load(
                    (folder / "config.yaml").read_text()
                )

    explore(check, 150 * effort, change=changes(folder), form=st.sampled_from(FORMS))


@efforts
def test_changed_file_of_a_finished_run_is_noticed(effort, tmp_path):
    folder = write_run(tmp_path, config(), [0.5, 0.6])
    summary = read_json(folder / "summary.json")
    (folder / "summary.json").unlink()
    Folder(folder).finish(summary)
    whole = json.loads((folder / "summary.json").read_text())

    def check(change, form):
        path, content = change
        unchanged = path.read_bytes() == content
        with changed(path, content):
            listed(folder, form)
            records = collect([Folder(folder)])
            (status,) = records.runs["status"]
            if path.name == "summary.json" and status == Status.FINISHED:
                assert json.loads(content) == whole or "checksum" not in json.loads(content)
            elif not unchanged:
                assert status == Status.DAMAGED
                assert not records.summaries

    explore(check, 100 * effort, change=changes(folder), form=st.sampled_from(FORMS))


@efforts
def test_changed_file_of_a_failed_run_is_no_fault(effort, tmp_path):
    folder = fail_run(tmp_path, config())

    def check(change, form):
        with changed(*change):
            listed(folder, form)
            records = collect([Folder(folder)])
            assert not records.summaries
            assert list(records.runs["status"]) in ([Status.FAILED], [Status.INTERRUPTED])

    explore(check, 80 * effort, change=changes(folder), form=st.sampled_from(FORMS))
