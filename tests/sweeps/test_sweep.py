"""Sweeps: which runs they consist of, where each of them stands, what they will cost."""

import itertools

import hydra
import pytest
from conf_options import experiment, tiny_experiment
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

import bench.config.multirun
from bench.analysis.numbers.selection import Choice
from bench.config.composition import compose, register_resolvers
from bench.config.conditioning import WeightRange
from bench.config.experiment import Experiment
from bench.config.groups import CONF, headline
from bench.config.multirun import combinations, fit_to_options, set_in_each_run
from bench.data import prepare
from bench.data.setup import Setup, make_source
from bench.errors import BenchError, Diverged, Unsupported
from bench.runs.run import Run
from bench.store.folder import Folder
from bench.store.layout import LAST
from bench.sweeps.callback import command, without_repeats
from bench.sweeps.cells import Cell, cells, experiments, look_up, summaries_of
from bench.sweeps.estimates import estimate, estimate_memory
from bench.sweeps.refinement import beyond
from bench.sweeps.tables import _left_out, _note, print_sweep

FILES = {path.stem: path for path in sorted((CONF / "experiment").glob("*.yaml"))}


def multirun(*overrides):
    """The configuration that Hydra has of `run.py -m`."""
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        known = GlobalHydra.instance().hydra
        return known.compose_config(
            "config", list(overrides), run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )


def keys(run):
    return [override.partition("=")[0] for override in run]


def params(name):
    return OmegaConf.load(FILES[name]).hydra.sweeper.params


@pytest.mark.parametrize(
    ("overrides", "runs"),
    [
        (["seed=3"], [["seed=3"]]),
        (
            ["metric=mse,ncc", "seed=0,1"],
            [
                ["metric=mse", "seed=0"],
                ["metric=mse", "seed=1"],
                ["metric=ncc", "seed=0"],
                ["metric=ncc", "seed=1"],
            ],
        ),
        (["seed=range(3)"], [["seed=0"], ["seed=1"], ["seed=2"]]),
        (["seed=0,1", "seed=7"], [["seed=7"]]),
        (
            ["seed=7", "metric=mse", "seed=0,1"],
            [["seed=0", "metric=mse"], ["seed=1", "metric=mse"]],
        ),
        (
            ["metric.levels=[1],[1,2]"],
            [["metric.levels=[1]"], ["metric.levels=[1,2]"]],
        ),
        (["model.channels=[4,8]"], [["model.channels=[4,8]"]]),
        (["dataset.subjects_per_split={train:4,val:2}"],) * 2,
    ],
)
def test_runs_are_the_combinations_of_the_command_line(overrides, runs):
    runs = runs if isinstance(runs[0], list) else [runs]
    assert combinations(multirun(*overrides)) == runs


def test_command_line_wins_over_the_params_of_an_experiment_file():
    found = combinations(multirun("+experiment=midl2021", "dataset=demo", "regularizer.scale=1,3"))
    metrics = params("midl2021").metric.split(",")
    assert [(run[0], run[1], run[2]) for run in found] == [
        ("dataset=demo", f"metric={metric}", f"regularizer.scale={scale}")
        for metric, scale in itertools.product(metrics, (1, 3))
    ]
    assert all("+experiment=midl2021" in run for run in found)


@pytest.mark.parametrize("name", FILES)
def test_no_run_of_an_experiment_file_sets_anything_twice_or_comes_twice(name):
    found = combinations(multirun(f"+experiment={name}", "seed=0,1", "metric=mse"))
    assert all(len(set(keys(run))) == len(run) for run in found)
    assert len({tuple(run) for run in found}) == len(found) > 1


@pytest.mark.parametrize(("name", "count"), [("midl2021", 3 * 6 * 5), ("mia2023", 4 * 8 * 5)])
def test_comparisons_of_the_papers_have_all_their_runs(name, count):
    assert len(combinations(multirun(f"+experiment={name}"))) == count
    assert len(combinations(multirun(f"+experiment={name}", "seed=0,1,2"))) == 3 * count


@pytest.mark.parametrize(("name", "path"), FILES.items(), ids=FILES)
def test_experiment_file_is_headed_by_its_own_command(name, path):
    first, second, *_ = path.read_text().splitlines()
    assert first == "# @package _global_"
    assert second.startswith("# ")
    assert headline(path).endswith(f": python run.py -m +experiment={name}")


def first_with_each_value(runs):
    known = set()
    for run in runs:
        if set(run) - known:
            known |= set(run)
            yield run


@pytest.mark.parametrize("name", FILES)
def test_runs_of_an_experiment_file_are_valid_experiments(name):
    runs = list(first_with_each_value(combinations(multirun(f"+experiment={name}"))))
    for run, found in zip(runs, experiments(runs), strict=True):
        chosen = dict(override.split("=", 1) for override in run)
        for group in {"dataset", "metric"} & set(chosen):
            assert found[group]["name"] == chosen[group]
        assert found.weight > 0
        assert found["seed"] == int(chosen.get("seed", 0))
        assert not found["plan"]


@pytest.mark.parametrize(
    "run",
    [
        [],
        ["metric=mse", "dataset=demo3d"],
        ["metric=ncc", "metric.window=5", "regularizer.scale=0.5", "seed=3"],
        ["metric=mse", "regularizer.weight=0.25", "regularizer.scale=2"],
        ["trainer.lr=1e-3", "trainer.steps=7", "trainer.progress=false", "tracker=none"],
        ["trainer.clip_norm=null", "trainer.clip_norm=2"],
        ["trainer.steps=7", "trainer=paper"],
        ["dataset.shape=[32,40]", "dataset.subjects_per_split={train:4,val:2,test:2}"],
        ["dataset.subjects_per_split={train:4,val:2,test:2}", "dataset.subjects_per_split.val=3"],
        ["metric=deepsim_ae", "metric.levels=[1,2]", "metric.extractor.steps=0"],
        ["metric=deepsim_ae", "dataset.recommended.short.surrogate_steps=6"],
        ["metric=deepsim_ae", "dataset.recommended.short.surrogate_steps=6", "dataset=demo3d"],
        ["metric=sum", "metric.terms.deepsim_ae.levels=[1,2]", "regularizer=sum"],
        ["metric=mse", "metric.name=own", "metric._target_=custom.Metric", "+metric.power=2"],
        ["++trainer.steps=7", "++metric.more=1.5", "~metric.window"],
        ["model.dropout=true", "regularizer.weight=0", "dataset.noise=0.0"],
        ["regularizer.weight=${oc.select:dataset.noise}", "dataset.noise=0.25"],
        ["results_dir=elsewhere", "force=true", "trainer=paper", "+experiment=midl2021"],
        ["dataset.pairs={test:{policy:mirrored,most:5}}", "dataset.pixel_size=null", "seed=3"],
        ["metric=deepsim_seg", "metric.extractor.trainer={lr:1e-3}", "metric.levels=[1]"],
        [
            "dataset.pairs.test={policy:mirrored,most:5}",
            "dataset.pairs.test.most=4",
            "select=val_loss",
        ],
    ],
    ids=" ".join,
)
def test_experiments_are_what_hydra_composes(run):
    expected = Experiment.from_config(compose(run))
    (found,) = experiments([run])
    assert found.config == expected.config
    assert found.settings == expected.settings


def test_values_of_one_run_do_not_reach_the_next():
    runs = [["trainer.steps=3", "metric.window=5"], [], ["trainer.lr=0.5"], []]
    first, plain, other, again = experiments(runs)
    assert plain.config == again.config == Experiment.from_config(compose([])).config
    assert (first.settings.steps, first["metric"]["window"]) == (3, 5)
    assert (other.settings.lr, other.settings.steps) == (0.5, plain.settings.steps)


def test_choices_of_groups_are_composed_once(monkeypatch):
    composed = []

    def counted(overrides):
        composed.append(overrides)
        return compose(overrides)

    monkeypatch.setattr(bench.config.multirun, "compose", counted)
    scales, metrics = (0.25, 0.5, 1, 2, 4), ("mse", "ncc")
    further = ["dataset.pairs.test={policy:mirrored}", "dataset.pixel_size=null"]
    runs = [
        [f"metric={metric}", f"regularizer.scale={scale}", f"seed={seed}", *further]
        for metric in metrics
        for seed, scale in enumerate(scales)
    ]
    found = experiments(runs)
    assert composed == [["metric=mse"], ["metric=ncc"]]
    weights = [0.02 * scale for scale in scales] + [0.2 * scale for scale in scales]
    assert [own.weight for own in found] == pytest.approx(weights)
    assert [own["seed"] for own in found] == [*range(5), *range(5)]


@pytest.mark.parametrize(
    ("override", "error", "words"),
    [
        ("trainer.steps=0", BenchError, r"trainer\.steps=0: must be a whole number"),
        ("regularizer.weight=-1", BenchError, r"regularizer\.weight=-1: must be a number from 0"),
        ("seed=one", BenchError, "seed=one: must be a whole number"),
        ("metric=nothing", HydraException, "nothing"),
        ("trainer.nothing=3", HydraException, "trainer.nothing"),
        ("trainer.nothing=word", HydraException, "trainer.nothing"),
        ("trainer.steps.more=3", HydraException, "trainer.steps.more"),
        ("nothing=3", HydraException, "nothing"),
    ],
)
def test_combination_that_is_not_valid_is_refused_wherever_it_is(override, error, words):
    with pytest.raises(error, match=words):
        experiments([["metric=mse"], ["metric=ncc", override], ["metric=nmi"]])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache in which the tiny 2D demo is."""
    cache = tmp_path_factory.mktemp("cache")
    prepare(make_source(tiny_experiment(2)), cache)
    return cache


@pytest.fixture
def cell(cache, tmp_path):
    """Makes a cell on the tiny 2D demo that has not been looked up."""

    def make(*overrides, ndim=2, cache=cache):
        places = [f"dataset.cache={cache}", f"results_dir={tmp_path / 'results'}"]
        if not any(override.startswith("metric=") for override in overrides):
            overrides = ("metric=mse", *overrides)
        return Cell(list(overrides), tiny_experiment(ndim, *overrides, *places))

    return make


def located(cell):
    look_up([cell])
    return cell


def header(cell):
    return {"id": cell.folder.path.name[-8:], **cell.names}


def finish(folder, header, **more):
    folder.start(header, "", {})
    folder.finish({**header, "scores": {}, **more})


def fail(folder, header):
    folder.start(header, "", {})
    folder.fail(Diverged("loss is nan at step 4"))


def interrupt(folder, header):
    folder.start(header, "", {})
    folder.file(LAST).write_bytes(b"state")


def start(folder, header):
    folder.start(header, "", {})


def skip(folder, header):
    folder.start(header, "", {})
    folder.fail(Unsupported("2D only"), "skipped")


def fail_with_a_state(folder, header):
    interrupt(folder, header)
    folder.fail(Diverged("loss is nan at step 4"))


@pytest.mark.parametrize(
    ("happened", "status", "reason"),
    [
        (None, "missing", ""),
        (finish, "finished", ""),
        (fail, "failed", "loss is nan at step 4"),
        (fail_with_a_state, "failed", "loss is nan at step 4"),
        (skip, "skipped", "2D only"),
        (interrupt, "resumable", ""),
        (start, "missing", ""),
    ],
)
def test_cell_stands_where_its_folder_does(happened, status, reason, cell):
    own, other = cell("seed=0"), cell("seed=1")
    look_up([own, other])
    if happened:
        happened(own.folder, header(own))
    again = cell("seed=0")
    look_up([own, other, again])
    for found in (own, again):
        assert (found.status, found.reason) == (status, reason)
    assert own.folder.path == again.folder.path != other.folder.path
    assert (other.status, other.reason) == ("missing", "")


def test_cell_that_another_process_holds_is_running(cell):
    own = located(cell())
    own.folder.start(header(own), "", {})
    with Folder(own.folder.path).claim():
        assert located(own).status == "running"
    assert located(own).status == "missing"


def test_cell_changes_with_its_run(cell):
    own = located(cell())
    fail(own.folder, header(own))
    assert located(own).reason
    finish(own.folder, header(own))
    look_up([own])
    assert (own.status, own.reason) == ("finished", "")


def test_folder_is_named_by_what_is_run(cell, tmp_path):
    own = located(cell("metric=ncc", "regularizer.weight=0.25", "seed=3"))
    assert own.names == {"dataset": "demo", "metric": "ncc", "weight": 0.25, "seed": 3}
    assert own.folder.path.parent == tmp_path / "results" / "runs"
    assert own.folder.path.name.startswith("demo-ncc-0.25-seed3-")


def test_looking_up_reads_no_images_and_writes_nothing(cell, tmp_path):
    unread = tmp_path / "unread"
    own = located(cell("metric=deepsim_ae", cache=unread))
    assert (own.status, own.reason) == ("missing", "its images have not been read")
    assert own.folder is None
    assert not unread.exists()
    assert not (tmp_path / "results").exists()
    (name,) = own.surrogates
    assert name.startswith("demo Autoencoder")


def test_missing_data_set_says_how_to_get_it(cell, tmp_path):
    root = f"dataset.root={tmp_path / 'nowhere'}"
    own = Cell([], Experiment.from_config(compose(["dataset=hippocampus", root])))
    fine = cell()
    look_up([own, fine])
    assert own.status == "missing"
    assert own.reason.startswith("dataset hippocampus: ")
    assert "`python -m bench data prepare hippocampus`" in own.reason
    assert own.folder is None
    assert fine.folder is not None


def test_network_of_another_dimension_is_skipped_without_the_data(cell, tmp_path):
    own = located(cell("metric=vgg", ndim=3, cache=tmp_path / "unread"))
    assert own.status == "skipped"
    assert own.reason.startswith("VGG-16 is a 2D network")
    assert own.surrogates == []
    flat = located(cell("metric=vgg"))
    assert (flat.status, flat.surrogates) == ("missing", [])


def test_extractor_is_waited_for_until_it_is_trained(cell):
    light, heavy = (cell("metric=deepsim_ae", f"regularizer.weight={w}") for w in (0.1, 0.2))
    seed, plain = cell("metric=deepsim_ae", "seed=1"), cell("metric=mse")
    random = cell("metric=deepsim_ae", "metric.extractor.steps=0")
    look_up([light, heavy, seed, plain, random])
    (name,) = light.surrogates
    assert name.startswith("demo Autoencoder ")
    assert heavy.surrogates == [name]
    assert len(seed.surrogates) == 1
    assert seed.surrogates != [name]
    assert plain.surrogates == random.surrogates == []

    identity = name.split()[-1]
    results = light.experiment.results
    folder = Folder(results / "extractors" / f"demo-autoencoder-seed0-{identity}")
    folder.start({"id": identity}, "", {})
    assert located(cell(*light.overrides)).surrogates == [name]
    folder.finish({"id": identity, "scores": {}})
    assert located(cell(*light.overrides)).surrogates == []
    assert located(cell(*heavy.overrides)).surrogates == []
    assert located(cell(*seed.overrides)).surrogates == seed.surrogates


def test_every_extractor_of_a_sum_is_waited_for(cell):
    own = located(cell("metric=sum", "+metric@metric.terms.deepsim_seg=deepsim_seg"))
    kinds = [name.split()[1] for name in own.surrogates]
    assert sorted(kinds) == ["Autoencoder", "Segmenter"]


def test_finished_run_waits_for_no_extractor(cell):
    own = located(cell("metric=deepsim_ae"))
    finish(own.folder, header(own))
    assert located(cell("metric=deepsim_ae")).surrogates == []


def test_summaries_are_those_of_finished_cells(cell, tmp_path):
    found = [cell(f"seed={seed}") for seed in range(4)]
    found.append(cell("metric=ncc", cache=tmp_path / "unread"))
    look_up(found)
    finish(found[0].folder, header(found[0]), steps=6)
    fail(found[1].folder, header(found[1]))
    finish(found[3].folder, header(found[3]), steps=7)
    assert [summary["steps"] for summary in summaries_of(found)] == [6, 7]


def test_cells_of_a_multirun_are_all_its_runs(tmp_path):
    places = ["dataset=demo", f"results_dir={tmp_path}", "tracker=none"]
    found = cells(multirun("metric=mse,nmi", "regularizer.scale=1,2", *places))
    assert [own.overrides[:2] for own in found] == [
        ["metric=mse", "regularizer.scale=1"],
        ["metric=mse", "regularizer.scale=2"],
        ["metric=nmi", "regularizer.scale=1"],
        ["metric=nmi", "regularizer.scale=2"],
    ]
    assert [own.names["weight"] for own in found] == pytest.approx([0.02, 0.04, 0.1, 0.2])
    assert {own.status for own in found} == {"missing"}
    assert list(tmp_path.iterdir()) == []


def test_one_cell_that_is_not_valid_refuses_all(tmp_path):
    with pytest.raises(BenchError, match=r"trainer\.lr=0: must be a finite number above 0"):
        cells(multirun("metric=mse", "trainer.lr=1e-3,0,1e-4", f"results_dir={tmp_path}"))
    assert list(tmp_path.iterdir()) == []


def took(seconds, steps=10, dataset="demo", metric="mse"):
    return {"training_seconds": seconds, "steps": steps, "dataset": dataset, "metric": metric}


@pytest.mark.parametrize(
    ("summaries", "seconds"),
    [
        ([], None),
        ([took(20)], 100),
        ([took(20, metric="ncc")], 100),
        ([took(20, metric="ncc"), took(30)], 150),
        ([took(30), took(20, metric="ncc"), took(20, metric="ncc")], 150),
        ([took(20, dataset="brain")], None),
        ([took(20, dataset="brain"), took(30, metric="nmi")], 150),
        ([took(20), took(40, steps=20)], 100),
        ([took(10), took(20), took(900)], 100),
        ([took(0, steps=0)], None),
        ([took(0, steps=0), took(20)], 100),
    ],
)
def test_time_is_told_by_runs_of_the_same_data_set_and_first_of_the_same_metric(
    summaries, seconds, cell
):
    own = cell("metric=mse", "trainer.steps=50", "trainer.validate_every=10")
    assert estimate(own, summaries) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("model", "seconds"), [("direct", 1.5 * (4 + 3)), ("demons", None), ("affine", None)]
)
def test_time_without_training_is_that_of_the_pairs(model, seconds):
    finished = {"dataset": "demo", "metric": "mse", "model": "direct", "steps": None}
    finished["scores"] = {"seconds": {"mean": 1.5, "n": 4}}
    given = ["metric=ncc", f"model={model}", "trainer.validation_pairs=3"]
    assert estimate(Cell(given, experiment(given)), [finished, took(20)]) == seconds


@pytest.mark.parametrize(
    ("takes", "memory"),
    [
        ([], None),
        ([("mse", 5), ("mse", 7), ("ncc", 9)], 7),
        ([("ncc", 9), ("nmi", 8)], 9),
        ([("mse", None), ("ncc", 9)], None),
    ],
)
def test_memory_is_the_most_that_runs_of_the_same_metric_took(takes, memory, cell):
    summaries = [
        took(1, metric=metric) | ({} if size is None else {"training_memory": size})
        for metric, size in takes
    ]
    assert estimate_memory(cell("metric=mse"), summaries) == memory


@pytest.mark.parametrize("status", ["finished", "skipped"])
def test_run_that_will_not_train_takes_no_time(status, cell):
    own = cell()
    own.status = status
    assert estimate(own, []) == estimate(own, [took(20)]) == 0


def test_cells_that_are_one_run_count_once(tmp_path):
    folder = Folder(tmp_path / "runs" / "demo-mse-a")
    folder.start({"id": "a"}, "", {})
    folder.finish({"id": "a", "scores": {}})
    same = [Cell([], tiny_experiment(2), "finished", folder=Folder(folder.path)) for _ in range(2)]
    assert [summary["id"] for summary in summaries_of(same)] == ["a"]


@pytest.mark.parametrize(
    "run",
    [
        ["dataset.subjects_per_split.val=3", "dataset.subjects_per_split={train:4,val:2,test:2}"],
        ["trainer.steps=7", "++trainer.steps=9"],
    ],
)
def test_overrides_of_one_value_keep_their_order(run):
    (found,) = experiments([run])
    assert found.config == experiment(run).config


def test_transferred_extractor_and_missing_cache_do_not_hide_a_finished_run(tmp_path):
    for overrides in (
        ["metric=deepsim_ae", "metric.extractor.dataset=demo"],
        ["dataset.cache=none"],
    ):
        own = tiny_experiment(2, f"results_dir={tmp_path}", *overrides)
        folder = Run.of(Setup.of(own)).folder
        folder.start({"id": "a"}, "", {})
        folder.finish({"id": "a", "scores": {}})
        cell = Cell(overrides, own)
        look_up([cell])
        assert cell.status == "finished", cell.reason


def data_of(own):
    source = make_source(own)
    dataset = prepare(source, own.cache)
    return {"fingerprint": dataset.fingerprint, "settings": source.settings()}


def test_what_is_said_twice_runs_once(tmp_path):
    places = ["dataset=demo", f"results_dir={tmp_path}", "tracker=none", "metric=mse"]
    assert [own.names["seed"] for own in cells(multirun("seed=0,0,1", *places))] == [0, 1]
    assert len(cells(multirun("regularizer.weight=0.1,0.10,1e-1", *places))) == 1
    assert len(combinations(multirun("seed=0,0,1", *places))) == 2


@pytest.mark.parametrize("cache", ["none", "unread"])
@pytest.mark.parametrize(
    ("overrides", "repeated"),
    [
        (["task=synthesis", "metric=mse,ncc", "task.factor=0.01,0.1"], {"mse": 1, "ncc": 0}),
        (["model=identity", "metric=mse,ncc", "regularizer.weight=1,2"], {"mse": 3}),
        (["model=direct", "metric=mse,deepsim_ae", "trainer.lr=1e-3,1e-4"], {"mse": 1}),
    ],
)
def test_combinations_that_are_one_run_are_said_once_and_run_once(
    overrides, repeated, cache, tmp_path, capsys
):
    cache = "none" if cache == "none" else tmp_path / cache
    places = ["dataset=demo", f"results_dir={tmp_path}", "tracker=none", f"dataset.cache={cache}"]
    config = multirun(*overrides, *places)
    with command([]) as given:
        given.take_in(config)
        kept = without_repeats(combinations(config))
    said = [line for line in capsys.readouterr().out.splitlines() if "same run" in line]
    assert [c.overrides for c in given.cells] == kept
    known = {"mse": 0, "ncc": 0, "deepsim_ae": 0}
    for own in given.cells:
        known[own.names["metric"]] += len(own.repeats)
    assert known == {**dict.fromkeys(known, 0), **repeated}
    (line,) = said
    many = "and 2 more are" if sum(repeated.values()) == 3 else "is"
    assert f" {many} the same run as metric=mse " in line
    print_sweep(given.cells)
    repeats, are = sum(repeated.values()), "are" if many != "is" else "is"
    counts = f"{len(kept)} missing; {repeats} of {repeats + len(kept)} combinations {are} the same"
    assert f"{counts} run as another\n" in capsys.readouterr().out


def test_unread_runs_of_one_configuration_are_one(tmp_path):
    places = ["dataset=demo", f"results_dir={tmp_path}", "tracker=none", "metric=mse"]
    assert len(cells(multirun("regularizer.scale=1,1.0,2", *places))) == 2


@pytest.mark.parametrize(
    ("overrides", "runs", "said"),
    [
        (["seed=0,0"], 1, ["seed=0,0: gives 0 more than once; equal runs are one."]),
        (
            ["seed=1,2,1,2", "metric=mse,mse"],
            2,
            ["gives 1, 2 more than once", "metric=mse,mse: gives mse more than once"],
        ),
        (["seed=range(0,2)", "metric=mse,ncc", "trainer.clip_norm=null"], 4, []),
    ],
)
def test_values_given_more_than_once_are_said(overrides, runs, said, tmp_path, capsys):
    places = ["dataset=demo", f"results_dir={tmp_path}", "tracker=none", "dataset.cache=none"]
    assert len(cells(multirun(*set_in_each_run(["-m", *overrides])[1:], *places))) == runs
    lines = [line for line in capsys.readouterr().out.splitlines() if "more than once" in line]
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))


def test_weight_beside_its_factor_is_refused(tmp_path):
    with pytest.raises(BenchError, match=r"regularizer.scale: scales the tuned weight and"):
        cells(multirun("regularizer.weight=1,2", "regularizer.scale=1,2", "dataset=demo"))


@pytest.mark.parametrize(("lost", "text"), [(0.0, ""), (1.25, " (1.2 classes left out)")])
def test_classes_that_were_lost_stand_beside_hd95(lost, text):
    scores = [{"hd95_left_out": {"mean": lost}}]
    assert _left_out("hd95", scores) == text
    assert _left_out("dice", scores) == _left_out("hd95", [{}]) == ""


def test_time_of_a_synthesis_is_told_by_syntheses(cell):
    made = took(40) | {"task": "synthesis", "model": "synthesis"}
    given = ["trainer.steps=50", "trainer.validate_every=10"]
    own = cell("task=synthesis", *given)
    assert estimate(own, [took(20)]) is None
    assert estimate(own, [took(20), made]) == pytest.approx(200)
    assert estimate(cell(*given), [took(20), made]) == pytest.approx(100)


def test_border_is_one_of_factors_in_a_synthesis():
    def note(run, border=True, learned=None):
        return _note(Choice(0.1, [0.1, 1] if border else [0.1], [run], []), learned)

    assert note({"problem": "denoise"}) == "at the border of the factors tried"
    assert note({}) == "at the border of the weights tried"
    assert note({}, border=False) == ""
    known = note({}, learned=WeightRange(0.01, 2))
    assert known.endswith("tried; the network knows those from 0.01 to 2 without training")
    assert note({}, learned=WeightRange(0.1, 2)).endswith("tried, where model.lambda_range ends")


def test_further_factors_of_a_synthesis_are_tried_beyond_the_best(cell):
    tried = []
    for factor in (0.1, 0.5):
        one = located(cell("task=synthesis", "metric=ssim", f"task.factor={factor}"))
        finish(one.folder, header(one), validation={"dice": factor, "ssim": 0.9})
        tried.append(one)
    assert beyond(tried) == [["task=synthesis", "metric=ssim", "task.factor=2.5"]]
    alone = located(cell("task=synthesis", "metric=mse"))
    finish(alone.folder, header(alone), validation={"dice": 0.9, "ssim": 0.9})
    assert beyond([alone]) == []


def test_judges_are_waited_for_like_extractors(cell):
    own = located(cell("task=synthesis", "metric=deepsim_csr"))
    kinds = [name.split()[1] for name in own.surrogates]
    assert kinds == ["Contrastive", "Autoencoder", "Segmenter"]


def test_judge_may_be_chosen_for_a_sweep_over_metrics():
    judge = "metric@task.judges.distance=deepsim_csr"
    given = [["task=synthesis", f"metric={metric}", judge] for metric in ("mse", "ncc")]
    kept, lines = fit_to_options(given)
    assert (kept, lines) == (given, [])
    runs = experiments(kept)
    assert [run["metric"]["name"] for run in runs] == ["mse", "ncc"]
    assert {run["task"]["judges"]["distance"]["name"] for run in runs} == {"deepsim_csr"}
