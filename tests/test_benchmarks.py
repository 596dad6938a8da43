"""Benchmarks run: what they measure is what the suite does today."""

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import nibabel
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import checksums
import convergence
import loading
import overhead
import report
import train
from train import METRICS, make_data, make_steps

from bench.data.cache.prepared import PreparedDataset
from bench.errors import DamagedCache, Interrupted

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(32, 40), (16, 16, 24)])
@pytest.mark.parametrize("metric", METRICS)
def test_steps_of_both_ways_train(metric, shape, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHANNELS", (4, 8, 8))
    steps, batch = make_steps(metric, 2, make_data(tmp_path, shape), "cpu", tmp_path)
    assert set(steps) == set(train.WAYS)
    for step in steps.values():
        step()
        step()
    assert batch().moving.shape == (2, 1, *shape)


@pytest.mark.parametrize(("variant", "fast"), [("", True), ("", False), ("float32", True)])
def test_steps_are_set_against_products_in_their_precision(variant, fast, monkeypatch):
    precision = "bfloat16" if fast and not variant else "float32"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    monkeypatch.setattr(train, "CHANNELS", (4, 8, 8))
    monkeypatch.setitem(train.SIZES, "small", (1, (16, 16)))
    monkeypatch.setattr(train, "limit", lambda device, of: {torch.bfloat16: 3e12}.get(of, 1e12))
    monkeypatch.setattr(train, "in_fresh_process", lambda function, way, *rest: 10**6 * len(way))
    row = train.measure_case(train.Case("mse", "small", variant), "cpu", 1)
    assert (row["precision"], row["limit"]) == (
        precision,
        3e12 if precision == "bfloat16" else 1e12,
    )
    row = {
        "case": "mse small",
        **row,
        "flops": 10**11,
        "seconds": {key: [2] for key in row["seconds"]},
    }
    made = train.table("", {"rows": [row]})
    cells = list(zip(*(column.cells for column in made.columns), strict=True))
    share = "2% of 3.00" if precision == "bfloat16" else "5% of 1.00"
    assert [cell[:4] for cell in cells] == [
        ("mse small" if way == "ours" else "", way, "2.000", "1.00") for way in train.WAYS
    ]
    assert cells[1][4:8] == ("8", "2.00", "8", "2.00")
    assert cells[0][8:] == ("100.00%", f"{share} TFLOP/s, {precision}")


def test_both_ways_see_the_same_images(tmp_path):
    data = make_data(tmp_path, (16, 16, 24))
    assert data.dataset.pairs("train")
    images = loading.read_pairs(data.dataset, [(0, 1)], CPU).moving[0, 0]
    content = nibabel.load(data.files[0][0]).get_fdata()
    assert torch.equal(images, torch.from_numpy(content).float())


TINY_DEMO = [
    *("dataset=demo", "dataset.shape=[32,40]", "dataset.resolution=4"),
    *("dataset.subjects_per_split={train:6,val:2,test:2}", "model.channels=[4,6]"),
]


@pytest.fixture
def tiny_race(monkeypatch):
    """The convergence suite on a tiny demo, of which each step takes a second."""
    monkeypatch.delenv("BENCH_DATA", raising=False)
    monkeypatch.setitem(convergence.DATASETS, "demo", (TINY_DEMO, (0.0, 1.0)))
    monkeypatch.setitem(convergence.CLOCKS, "wall", itertools.count().__next__)


@pytest.mark.parametrize("metric", convergence.METRICS)
def test_all_ways_train_for_the_same_time_from_the_same_weights(metric, tiny_race):
    ours = "model=voxelmorph trainer=short"
    if metric == "deepsim_seg":
        ours += " metric.extractor.steps=2 metric.extractor.channels=[4,6] metric.levels=[1,2]"
    ways = [ours, f"{ours} trainer.clip_norm=0.1 trainer.steps=2", "published"]
    result = convergence.measure("cpu", f"{metric} demo", 1, 4, ways)
    curves = {row["way"]: row["curve"] for row in result["rows"]}
    assert list(curves) == ways
    assert [[row["step"] for row in curve] for curve in curves.values()] == [
        [0, 1, 2, 3, 4],
        [0, 1, 2],
        [0, 1, 2, 3, 4],
    ]
    for curve in curves.values():
        assert [row["seconds"] for row in curve] == [row["step"] for row in curve]
    first = [curve[0] for curve in curves.values()]
    assert first[0] == first[1]
    assert first[2]["dice"] == pytest.approx(first[0]["dice"], abs=0.01)
    assert curves["published"][-1]["sdlogj"] != curves["published"][0]["sdlogj"]
    shown = convergence.table("", result)
    assert [cells[-1] for cells in [list(column.cells) for column in shown.columns[-1:]]] == [
        "0: 0, 1: -"
    ]


def test_both_ways_of_a_race_have_the_same_images_and_pairs(tiny_race, tmp_path):
    setup = convergence.make_setup([*TINY_DEMO, f"results_dir={tmp_path}", "trainer=short"])
    ours = convergence.Ours(setup, [], tmp_path)
    published = convergence.Published(setup, convergence.PLAIN["ncc"], tmp_path, "cpu")
    training = ours.trainee.trainable.training
    positions = range(len(published.baseline.pairs))
    batch = loading.read_pairs(
        setup.dataset, [training.pairs[training.sampler[n]] for n in positions], CPU
    )
    moving, fixed = zip(*published.baseline.pairs, strict=True)
    for subjects, expected in ((moving, batch.moving), (fixed, batch.fixed)):
        images, _ = published.baseline._read(subjects)
        assert torch.equal(images, expected)


def test_both_ways_of_a_race_have_the_same_features(tiny_race, tmp_path):
    extractor = [f"metric.extractor.{setting}" for setting in ("steps=2", "channels=[4,6]")]
    overrides = [*TINY_DEMO, f"results_dir={tmp_path}", "metric=deepsim_seg", "metric.levels=[2]"]
    setup = convergence.make_setup([*overrides, *extractor, "trainer=short"])
    parts = convergence.build_parts(setup)
    convergence.obtain_extractors(parts.learners)
    similarity = convergence.straightforward("deepsim_seg", parts, "cpu")
    ours = convergence.Ours(setup, [learner.network for learner in parts.learners], tmp_path)
    pair = loading.read_pairs(setup.dataset, setup.dataset.pairs("val")[:1], CPU)
    expected = ours.trainee.trainable.objective.similarity(pair)
    assert similarity(pair.moving, pair.fixed) == pytest.approx(float(expected), rel=0.02)
    assert expected > 1e-3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--way", "nonsense"], "missing EQUAL"),
        (["--way", "trainer=nonsense"], "Unknown trainer 'nonsense'. Known: "),
        (["--way", "trainer.nonsense=1"], "Unknown trainer.nonsense. Known in trainer: "),
        (["--way", "model=direct"], "--way 'model=direct': is a method that trains nothing."),
        (["--way", "model.conditioned=lambda"], "many λ, and a race has one. Leave model.cond"),
        (["--way", "trainer=short", "--way", "trainer=short"], "'trainer=short': is given twice."),
        (["--filter", "ncc hippocampus"], 'is no part of any case. Cases: "mse demo", "ncc demo"'),
        (["--seconds", "0"], "must be a number above 0, not 0"),
        (["--seconds", "nan"], "must be a number above 0, not nan"),
        (["--repeats", "0"], "must be at least 1, not 0"),
        (["--json", "nowhere/x.json"], "there is no folder nowhere. Make it."),
    ],
)
def test_races_that_cannot_be_end_before_any_training(
    options, said, tiny_race, monkeypatch, capsys
):
    case = [] if "--filter" in options else ["--filter", "ncc demo"]
    monkeypatch.setattr(sys, "argv", ["run.py", "--suite", "convergence", *case, *options])
    monkeypatch.setitem(convergence.DATASETS, "demo", (TINY_DEMO[:-1], ()))  # no channels
    monkeypatch.setattr(convergence, "trained_in_turn", None)
    with pytest.raises(SystemExit) as ended:
        script().main()
    assert ended.value.code not in (0, None)
    assert said in f"{ended.value.code}{capsys.readouterr().err}"


def script():
    """benchmarks/run.py as a module."""
    path = Path(convergence.__file__).with_name("run.py")
    spec = importlib.util.spec_from_file_location("run_benchmarks", path)
    spec.loader.exec_module(found := importlib.util.module_from_spec(spec))
    return found


@pytest.mark.parametrize(
    ("interrupt", "said"),
    [
        (Interrupted("Interrupted at step 5 of 9; the state is saved."), "Interrupted at step 5"),
        (KeyboardInterrupt(), "Interrupted. Run the same command to start again."),
    ],
)
def test_an_interrupted_benchmark_ends_in_one_line(interrupt, said, monkeypatch, capsys):
    def measure(*_, **__):
        raise interrupt

    monkeypatch.setattr(sys, "argv", ["run.py", "--suite", "checksums"])
    monkeypatch.setattr(checksums, "measure", measure)
    with pytest.raises(SystemExit) as ended:
        script().main()
    assert ended.value.code == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


class Counted:
    """A way whose steps take a second each."""

    done = False

    def step(self):
        pass

    def look(self):
        pass

    def scores(self, pairs):
        return {"dice": 0.5, "sdlogj": 0.0}


def test_a_race_is_validated_early_and_then_evenly():
    clock = itertools.count().__next__  # looked at before and after each step
    curves = convergence.trained_in_turn({"way": Counted()}, [], "cpu", 60, clock)
    assert [row["step"] for row in curves["way"]] == [0, 1, 2, 4, *range(6, 61, 6)]


def test_dice_at_a_time_and_seconds_to_a_dice_lie_between_validations():
    points = [(0, 0.5), (10, 0.6), (20, 0.56), (30, 0.7)]
    curve = [{"seconds": seconds, "dice": dice} for seconds, dice in points]
    assert convergence.dice_at(curve, 5) == pytest.approx(0.55)
    assert convergence.dice_at(curve, 99) == 0.7
    assert convergence.seconds_to(curve, 0.58) == pytest.approx(8)
    assert convergence.seconds_to(curve, 0.63) == pytest.approx(25)
    assert convergence.seconds_to(curve, 0.4) == 0
    assert math.isinf(convergence.seconds_to(curve, 0.71))


def test_loop_and_bare_steps_are_timed(monkeypatch):
    monkeypatch.setattr(overhead, "CHANNELS", (4, 8, 8))
    times = overhead.measure(2, (32, 40), steps=1, repeats=1)
    assert all(seconds > 0 for seconds in times)


def test_report_of_made_up_runs_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "DATASETS", ("demo",))
    monkeypatch.setattr(report, "METRICS", ("mse",))
    assert report.write_runs(tmp_path, pairs=3, seeds=1) == 3 * 5
    assert all(seconds > 0 for seconds in report.measure(tmp_path))
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "15 finished runs of 15" in text
    assert "demo (noise 0.2)" in text


def test_random_volumes_are_a_data_set(tmp_path):
    pairs = dict.fromkeys(("train", "val", "test"), "cross")
    noise = loading.Noise(name="noise", ndim=3, classes=2, shape=(8, 9, 10), pairs=pairs)
    dataset = loading.prepare(noise, tmp_path)
    assert dataset.shape == (8, 9, 10)
    assert loading.read_pairs(dataset, dataset.pairs("train")[:1], CPU).fixed.max() > 1


def test_checks_that_are_timed_are_those_of_the_suite(tmp_path):
    checksums.write_cache(tmp_path, 3, (4, 5, 6))
    dataset = PreparedDataset.open(tmp_path, {})
    assert dataset.images_of(range(3)).shape == (3, 1, 4, 5, 6)
    checksums.check(tmp_path, dataset, range(3))
    content = bytearray((tmp_path / "images.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises(AssertionError):
        checksums.check(tmp_path, dataset, range(3))
    with pytest.raises(DamagedCache):
        PreparedDataset.open(tmp_path, {}).images_of([2])
