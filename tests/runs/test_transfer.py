"""Extractors that learn on another data set: where they come from, and what they are shared by."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conf_options import experiment, setup_of, tiny_experiment
from image_files import write_nifti, write_sequence, write_tiff

from bench.config.identity import digest, extractor_identity, run_identity
from bench.data import Demo
from bench.data.setup import Setup
from bench.errors import ConfigError, Unsupported
from bench.runs.extractors import obtain_extractors
from bench.runs.run import Run
from bench.store.layout import BEST, EXTRACTORS
from bench.store.listing import list_folders
from bench.tasks.registration.assembly import build_parts

METRICS = {
    "deepsim_ae": "autoencoder",
    "deepsim_csr": "contrastive",
    "deepsim_seg": "segmenter",
}
TRAINING = ["model.channels=[4,6,8]", "trainer.accelerator=cpu", "trainer.progress=false"]
TRAINING += ["trainer.precision=float32", "tracker=none"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A folder in the layout of phc_u373, of frames of 16 x 20 pixels within their border."""
    folder = tmp_path_factory.mktemp("cells")
    write_sequence(folder, "01", 6, (24, 28))
    write_sequence(folder, "02", 10, (24, 28))
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder of tests that train nothing: they share the caches in it."""
    return tmp_path_factory.mktemp("results")


def from_cells(cells, place="metric"):
    return [f"{place}.extractor.dataset=phc_u373", f"{place}.extractor.root={cells}"]


def on_cells(cells, *overrides):
    """The setup of a run on the other data set itself."""
    there = ["dataset=phc_u373", f"dataset.root={cells}", *TRAINING, *overrides]
    return Setup.of(experiment(there))


def setup_on(chosen, dataset):
    """The setup of an experiment on a data set that is open, extractors learning elsewhere."""
    return Setup(chosen, dataset, {}, Setup.of(chosen).transfers)


def identity(setup):
    return digest(run_identity(setup.experiment, setup.data, setup.extractor_ids()))


def extractor_of(setup, place="metric"):
    """What identifies the extractor of a place."""
    there, section = setup.extractor(place)
    return extractor_identity(there.experiment, section, there.data)


@pytest.mark.parametrize("metric", ["mse", "vgg", "sum", *METRICS])
def test_nothing_is_transferred_unless_asked_for(metric, tmp_path):
    assert (
        Setup.of(tiny_experiment(2, f"metric={metric}", f"results_dir={tmp_path}")).transfers == {}
    )


def test_origin_follows_what_the_other_data_set_recommends(cells, results):
    here = [*TRAINING, "metric=deepsim_ae", f"results_dir={results}"]
    chosen = tiny_experiment(2, *here, *from_cells(cells), "trainer.batch_size=3")
    setup = Setup.of(chosen)
    assert list(setup.transfers) == ["metric"]
    origin, extractor = setup.extractor("metric")
    assert (origin.dataset.name, origin.dataset.shape) == ("phc_u373", (16, 20))
    assert origin.dataset.ids[:2] == ["01/t000", "01/t001"]
    assert chosen["metric"]["extractor"]["norm"] is False
    assert extractor["norm"] is True
    assert (extractor["steps"], extractor["channels"]) == (2000, [16, 32, 64])
    assert (chosen["trainer"]["steps"], origin.experiment["trainer"]["steps"]) == (400, 300)
    assert origin.experiment["trainer"]["batch_size"] == 3
    assert origin.experiment.seed == chosen.seed


@pytest.mark.parametrize(
    ("metric", "further"),
    [
        *((metric, []) for metric in METRICS),
        ("deepsim_ae", ["seed=3", "metric.extractor.steps=7", "metric.extractor.channels=[5,7]"]),
    ],
)
def test_extractor_is_that_of_the_other_data_sets_own_runs(metric, further, cells, results):
    overrides = [*TRAINING, f"metric={metric}", f"results_dir={results}", *further]
    expected = extractor_of(on_cells(cells, *overrides))
    assert extractor_of(Setup.of(tiny_experiment(2, *overrides, *from_cells(cells)))) == expected


@pytest.mark.parametrize("metric", METRICS)
def test_extractor_of_the_other_data_sets_own_runs_is_read(metric, cells, tiny_datasets, tmp_path):
    overrides = [*TRAINING, f"metric={metric}", "metric.extractor.steps=1"]
    overrides += ["trainer.batch_size=2", f"results_dir={tmp_path}"]
    (learner,) = build_parts(on_cells(cells, *overrides)).learners
    obtain_extractors([learner])
    (folder,) = list_folders(tmp_path, EXTRACTORS)
    assert folder.path.name.startswith(f"phc_u373-{METRICS[metric]}-seed0-")
    written = folder.file(BEST).stat().st_mtime_ns

    chosen = tiny_experiment(2, *overrides, *from_cells(cells))
    parts = build_parts(setup_on(chosen, tiny_datasets[2]))
    (again_learner,) = parts.learners
    assert again_learner.setup.dataset.name == "phc_u373"
    obtain_extractors([again_learner])
    (again,) = list_folders(tmp_path, EXTRACTORS)
    assert again.path == folder.path
    assert folder.file(BEST).stat().st_mtime_ns == written
    state, network = learner.network.state_dict(), again_learner.network
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert parts.objective.similarity.extractor.network is network


def test_run_with_a_transferred_extractor_is_another_run(cells, tiny_datasets, results, tmp_path):
    copied, changed = tmp_path / "copied", tmp_path / "changed"
    for folder in (copied, changed):
        shutil.copytree(cells, folder)
    write_tiff(changed / "01" / "t003.tif", np.eye(24, 28, dtype=np.uint8))

    def run_id(*overrides):
        chosen = [*TRAINING, "metric=deepsim_ae", f"results_dir={results}"]
        return identity(setup_on(tiny_experiment(2, *chosen, *overrides), tiny_datasets[2]))

    transferred = run_id(*from_cells(cells))
    assert transferred == run_id(*from_cells(copied))
    others = [
        run_id(),
        run_id(*from_cells(changed)),
        run_id(*from_cells(cells), "metric.extractor.steps=9"),
        run_id(*from_cells(cells), "metric.levels=[1,2]"),
        run_id(*from_cells(cells), "seed=1"),
    ]
    assert len({transferred, *others}) == 1 + len(others)


def test_transfer_from_the_data_set_itself_changes_nothing(cells, results):
    overrides = ["metric=deepsim_ae", f"results_dir={results}"]
    itself = on_cells(cells, *overrides, *from_cells(cells))
    assert list(itself.transfers) == ["metric"]
    assert identity(itself) == identity(on_cells(cells, *overrides))


OWN_TERM = (
    "+metric.terms.own={_target_: bench.similarity.DeepSim, extractor: "
    "{_target_: bench.extractors.autoencoder.Autoencoder, channels: [4, 6, 8], steps: 9}}"
)


def test_terms_of_a_sum_have_origins_of_their_own(cells, tiny_datasets, results):
    overrides = ["metric=sum", OWN_TERM, "+metric.factors.own=1", f"results_dir={results}"]
    place = "metric.terms.deepsim_ae"
    plain = tiny_experiment(2, *overrides)
    chosen = tiny_experiment(2, *overrides, *from_cells(cells, place))
    setup = setup_on(chosen, tiny_datasets[2])
    assert list(setup.transfers) == [place]
    assert identity(setup) != identity(setup_of(plain, tiny_datasets[2]))
    learners = build_parts(setup).learners
    assert [learner.setup for learner in learners] == [setup.transfers[place], setup]
    there = on_cells(cells, "metric=deepsim_ae", f"results_dir={results}")
    assert extractor_of(setup, place) == extractor_of(there)


def test_unknown_data_set_lists_the_known_ones():
    chosen = tiny_experiment(2, "metric=deepsim_ae", "metric.extractor.dataset=phc_u737")
    words = r"metric.extractor.dataset=phc_u737: no such data set. Known: .*, phc_u373, "
    with pytest.raises(ConfigError, match=words):
        Setup.of(chosen)


@pytest.mark.parametrize("name", ["phc_u373", "hippocampus", "nifti"])
def test_data_set_that_is_not_there_is_named_with_the_setting_that_points_to_it(name, tmp_path):
    root = tmp_path / "nowhere"
    overrides = [f"metric.extractor.dataset={name}", f"metric.extractor.root={root}"]
    chosen = tiny_experiment(2, "metric=deepsim_ae", *overrides, f"results_dir={tmp_path}")
    with pytest.raises(ConfigError) as raised:
        Setup.of(chosen)
    line = str(raised.value)
    assert line.startswith(f"metric.extractor.dataset={name}: dataset {name}: the folder {root} ")
    assert "does not exist. Pass metric.extractor.root=PATH" in line
    assert "dataset.root" not in line
    assert "\n" not in line


def test_folder_with_other_files_is_named_with_the_setting_that_points_to_it(cells, results):
    chosen = tiny_experiment(
        2, "metric=deepsim_ae", *from_cells(cells.parent), f"results_dir={results}"
    )
    with pytest.raises(ConfigError, match=r"holds no frames .* Point metric.extractor.root at the"):
        Setup.of(chosen)


class Coloured(Demo):
    """The demo in three channels."""

    def load(self, subject):
        sample = super().load(subject)
        return replace(sample, image=np.repeat(sample.image, 3, axis=0))


@pytest.mark.parametrize(
    ("metric", "ndim", "overrides", "has"),
    [
        ("deepsim_ae", 3, [], "3D images of 1"),
        ("deepsim_csr", 2, [f"dataset._target_={__name__}.Coloured"], "2D images of 3"),
    ],
)
def test_extractor_of_other_dimensions_or_channels_is_refused(
    metric, ndim, overrides, has, cells, results
):
    here = [*TRAINING, f"metric={metric}", f"results_dir={results}", *overrides]
    chosen = tiny_experiment(ndim, *here, *from_cells(cells))
    setup = Setup.of(chosen)
    with pytest.raises(Unsupported) as raised:
        build_parts(setup)
    assert str(raised.value) == (
        f"metric={metric} cannot be used on dataset={setup.dataset.name}: the extractor was "
        f"trained on 2D images of 1 channel(s), but the data set has {has}. Choose another metric "
        "or data set."
    )


@pytest.fixture
def volumes(tmp_path):
    """Two folders of the same volumes with a table of them: with labels, and without."""
    for kind, columns in (("labelled", "image,labels,split"), ("unlabelled", "image,split")):
        lines = [columns]
        for number, split in enumerate(["train", "train", "val", "val", "test", "test"]):
            image = np.random.default_rng(number).integers(0, 9, (8, 10, 9)).astype(np.uint8)
            write_nifti(tmp_path / kind / f"{number}.nii", image)
            write_nifti(tmp_path / kind / f"{number}_labels.nii", (image > 4).astype(np.uint8))
            names = [f"{number}.nii", f"{number}_labels.nii"]
            lines.append(",".join([*names[: columns.count(",")], split]))
        (tmp_path / kind / "subjects.csv").write_text("\n".join(lines))
    return tmp_path


def build_on(volumes, here, there):
    roots = [f"dataset.root={volumes / here}", f"metric.extractor.root={volumes / there}"]
    overrides = ["dataset=nifti", "metric=deepsim_seg", "metric.extractor.dataset=nifti"]
    chosen = experiment([*overrides, *roots, *TRAINING, f"results_dir={volumes}"])
    return build_parts(Setup.of(chosen))


def test_segmenter_may_come_from_labelled_data_to_unlabelled_ones(volumes):
    (learner,) = build_on(volumes, "unlabelled", "labelled").learners
    assert learner.setup.dataset.has_labels
    assert learner.network.classes == 2


def test_segmenter_cannot_come_from_unlabelled_data(volumes):
    words = r"its extractor learns from labels, but nifti has none\. Choose another metric or data"
    with pytest.raises(Unsupported, match=words):
        build_on(volumes, "labelled", "unlabelled")


def test_a_newer_option_of_extractors_that_is_null_changes_no_variant(tiny_datasets):
    def header(option, **settings):
        chosen = tiny_experiment(
            2, "metric=deepsim_seg", f"metric.extractor.early_stopping={option}"
        )
        extractor = {**chosen["metric"]["extractor"], **settings}
        if option == "null":
            del extractor["early_stopping"]
        older = chosen.with_config(
            {**chosen.config, "metric": {**chosen["metric"], "extractor": extractor}}
        )
        newer, older = (Run.of(setup_of(one, tiny_datasets[2])).header for one in (chosen, older))
        return [newer[key] == older[key] for key in ("id", "variant")]

    assert header("null") == [True, True]
    assert header("null", steps=3) == [False, False]
    assert header("5", early_stopping=4) == [False, False]
