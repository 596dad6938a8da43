"""Configurations: everything in conf/ composes, weights follow the table, identity is right."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import yaml
from conf_options import compose, compose_raw, experiment, names
from omegaconf import OmegaConf, open_dict

from bench.config.composition import tabulated_weight
from bench.config.experiment import Experiment
from bench.config.extractors import extractor_sections
from bench.config.groups import CONF, GROUPS, headline, options
from bench.config.identity import (
    ADDED,
    digest,
    extractor_identity,
    run_identity,
    run_name,
    variant_identity,
)
from bench.data.preprocessing.label_table import LabelTable
from bench.data.setup import make_source
from bench.errors import ConfigError

DATA = {"fingerprint": "f", "settings": {"shape": [4, 4]}}
FILES = sorted(CONF.glob("**/*.yaml"))
TABLE = OmegaConf.to_container(OmegaConf.load(CONF / "tuned_weights.yaml"))


def identity(*overrides, data=DATA):
    composed = experiment(list(overrides))
    extractors = {
        place: digest(extractor_identity(composed, section, data))
        for place, section in extractor_sections(composed["metric"])
    }
    return digest(run_identity(composed, data, extractors))


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_composes_with_its_own_name(group):
    assert names(group), f"conf/{group} is empty"
    for name in names(group):
        section = compose([f"{group}={name}"])[group]
        assert section["name"] == name


def test_every_combination_of_data_set_with_metric_or_trainer_is_a_checked_experiment():
    metrics = {name: compose_raw([f"metric={name}"]).metric for name in names("metric")}
    for dataset, trainer in itertools.product(names("dataset"), names("trainer")):
        config = copy.deepcopy(compose_raw([f"dataset={dataset}", f"trainer={trainer}"]))
        for metric in metrics if trainer == "short" else ["ncc"]:
            with open_dict(config):
                config.metric = metrics[metric]
            composed = Experiment.from_config(config)
            assert composed["metric"]["name"] == metric
            assert composed.weight > 0
            assert composed.settings.validate_every <= composed.settings.steps
            extractor = composed["metric"].get("extractor", {})
            if "steps" in extractor:
                assert composed.extractor_settings(extractor).steps == extractor["steps"]


COMPOSED = json.loads(Path(__file__).with_name("composed.json").read_text())


@pytest.mark.parametrize("chosen", COMPOSED)
def test_what_presets_take_from_data_sets_is_as_it_was_published(chosen):
    dataset, trainer = chosen.split()
    config = copy.deepcopy(
        compose_raw([f"dataset={dataset}", f"trainer={trainer}", "model=voxelmorph"])
    )
    for task in ("deepsim_ae", "deepsim_csr", "deepsim_seg"):
        with open_dict(config):
            config.metric = OmegaConf.load(CONF / "metric" / f"{task}.yaml")
        assert COMPOSED[chosen][task].items() <= config.metric.extractor.items()
    composed = json.loads(json.dumps(OmegaConf.to_container(config, resolve=True)))
    for section in ("model", "trainer", "dataset"):
        assert COMPOSED[chosen][section].items() <= composed[section].items()


FIVE_LINES = """name: mine
_target_: bench.data.NiftiTable
root: my/volumes
ndim: 3
pairs: {train: cross, val: mirrored, test: mirrored}
"""


@pytest.mark.parametrize("trainer", ["short", "paper"])
def test_yaml_of_five_lines_makes_a_data_set_with_everything_that_presets_ask_for(
    trainer, tmp_path
):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text(FIVE_LINES)
    further = f"hydra.searchpath=[file://{tmp_path}]"
    for metric in ("deepsim_ae", "deepsim_seg"):
        chosen = [f"trainer={trainer}", f"metric={metric}", "model=voxelmorph"]
        overrides = [further, "dataset=mine", *chosen]
        composed = experiment(overrides)
        assert composed["model"]["channels"] == [16, 32, 64]
        assert composed.settings.batch_size == 1
        assert composed.source_arguments()["root"] == "my/volumes"
        source = make_source(composed)
        assert (source.shape, source.intensity["policy"]) == (None, "quantile")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_every_file_begins_with_a_comment_that_says_what_it_is(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(headline(path)) > 10


@pytest.mark.parametrize("group", GROUPS)
def test_options_are_listed_with_their_headlines(group):
    assert set(options(group)) - {"custom"} == set(names(group))
    assert all(options(group).values())


@pytest.mark.parametrize(
    ("dataset", "metric", "scale"),
    [("demo", "ncc", 1), ("brain", "ncc_sup", 2), ("hippocampus", "mse", 0.25)],
)
def test_weight_is_that_of_the_table_times_the_scale(dataset, metric, scale):
    overrides = [f"dataset={dataset}", f"metric={metric}", f"regularizer.scale={scale}"]
    assert experiment(overrides).weight == pytest.approx(TABLE[dataset][metric] * scale)


def test_explicit_weight_wins():
    chosen = experiment(["dataset=brain", "regularizer.weight=0.3", "regularizer.scale=2"])
    assert chosen.weight == 0.3


def test_metric_without_a_tuned_weight_gets_one_times_the_scale():
    overrides = ["metric.name=mine", "regularizer.scale=0.5"]
    assert tabulated_weight(compose_raw(overrides)) is None
    assert experiment(overrides).weight == 0.5


def test_table_holds_positive_numbers_for_known_data_sets():
    published = {"brain", "hippocampus", "platelet_em", "phc_u373"}
    assert published <= set(TABLE)
    assert set(names("dataset")) - {"nifti", "nnunet", "tiff_stack"} <= set(
        TABLE
    )  # those are anyone's
    assert all(weight > 0 for weights in TABLE.values() for weight in weights.values())


@pytest.mark.parametrize("dataset", ["brain", "hippocampus"])
def test_published_weights_are_those_of_the_paper(dataset):
    published = {
        "brain": dict(mse=0.08, ncc=1, ncc_sup=2, nmi=2, mind=2, deepsim_ae=1, deepsim_seg=2),
        "hippocampus": dict(
            mse=0.08, ncc=1, ncc_sup=1, nmi=1, mind=0.25, deepsim_ae=0.25, deepsim_seg=0.5
        ),
    }
    assert published[dataset].items() <= TABLE[dataset].items()


@pytest.mark.parametrize("weight", ["-1", "abc", "true", "nan", "null"])
def test_weight_that_is_no_number_of_at_least_zero_is_refused(weight):
    with pytest.raises(ConfigError, match=r"regularizer.weight=.*: must be a number from 0 "):
        experiment([f"regularizer.weight={weight}"])


def test_infinite_weight_is_refused():
    with pytest.raises(ConfigError, match=r"regularizer.weight=inf: must be a"):
        experiment(["regularizer.weight=inf"])


@pytest.mark.parametrize("seed", ["0.5", "abc", "true", "null", "-1"])
def test_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ConfigError, match=r"seed=.*: must be a whole number of at least 0\."):
        experiment([f"seed={seed}"])


def test_force_that_is_neither_true_nor_false_is_refused():
    with pytest.raises(ConfigError, match=r"force=maybe: must be true or false"):
        experiment(["force=maybe"])


@pytest.mark.parametrize("group", ["metric", "model"])
def test_class_that_is_not_named_is_asked_for(group):
    with pytest.raises(ConfigError, match=f"{group}._target_ is missing. Pass it, for"):
        experiment([f"{group}=custom"])


@pytest.mark.parametrize("folder", ["3", "null", "nowhere"])
def test_folder_of_fields_that_is_none_is_named(folder):
    with pytest.raises(ConfigError, match=r"model.folder=.*: no such folder"):
        identity("model=fields", f"model.folder={folder}")


@pytest.mark.parametrize(
    "override",
    [
        "results_dir=elsewhere",
        "force=true",
        "tracker=none",
        "trainer.progress=false",
        "trainer.devices=2",
        "trainer.accelerator=cpu",
        "trainer.checkpoint_every=3",
        "+dataset.root=elsewhere",
        "dataset.recommended.short.surrogate_steps=3",
    ],
)
def test_what_cannot_change_the_numbers_does_not_change_the_identity(override):
    assert identity(override) == identity()


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "regularizer.weight=0.123",
        "regularizer.scale=2",
        "metric=mse",
        "metric.window=7",
        "model.channels=[4,8]",
        "trainer.steps=3",
        "trainer.lr=0.1",
        "trainer.batch_size=2",
        "trainer.accumulate=2",
        "trainer.precision=float32",
        "trainer.validation_pairs=3",
        "trainer.early_stopping=3",
        "model.reach=2",
        "dataset.augmentation.rotation=9",
        "dataset.pairs.train=mirrored",
        "dataset.pairs.test={policy: mirrored, most: 2}",
    ],
)
def test_what_can_change_the_numbers_changes_the_identity(override):
    assert identity(override) != identity()


@pytest.mark.parametrize(
    "overrides",
    [
        ["metric=ncc"],
        ["metric=deepsim_ae", "metric.extractor.early_stopping=null"],
        ["task=changes", "model=direct", "metric=mse"],
        ["metric=mse", "task=perception", "task.apart=null"],
    ],
)
def test_option_that_is_not_used_and_that_older_runs_do_not_have_changes_no_identity(overrides):
    composed = experiment(overrides)
    older = copy.deepcopy(composed.config)
    sections = {name: older[name] for name in ("model", "task")}
    sections |= {"extractor": older["metric"].get("extractor")}
    assert sections.keys() == ADDED.keys()
    for name, content in sections.items():
        taken = {key: content.pop(key) for key in ADDED[name] if key in (content or {})}
        assert taken.items() <= ADDED[name].items()
        assert taken or not content or name != "extractor"  # methods and tasks differ in options
    older = composed.with_config(older)
    found, expected = (
        (
            run_identity(e, DATA, {"metric": "the same"}),
            variant_identity(e, DATA),
            *(
                extractor_identity(e, section, DATA)
                for _, section in extractor_sections(e["metric"])
            ),
        )
        for e in (older, composed)
    )
    assert found == expected


@pytest.mark.parametrize("data", [{"fingerprint": "g"}, {"settings": {"shape": [4, 5]}}])
def test_data_change_the_identity(data):
    assert identity(data={**DATA, **data}) != identity()


def test_scale_and_weight_that_give_the_same_number_are_the_same_run():
    weight = experiment([]).weight
    assert identity("regularizer.scale=2") == identity(f"regularizer.weight={2 * weight}")


def test_weights_that_print_alike_have_different_names():
    composed = [experiment([f"regularizer.weight={w}"]) for w in (0.1, 0.10000001)]
    run_names = {run_name(e, digest(run_identity(e, DATA, {}))) for e in composed}
    assert len(run_names) == 2


@pytest.mark.parametrize("surrogate", ["ae", "seg"])
def test_extractor_is_shared_by_runs_that_differ_in_what_it_does_not_see(surrogate):
    def extractor(*overrides):
        composed = experiment([f"metric=deepsim_{surrogate}", *overrides])
        return digest(extractor_identity(composed, composed["metric"]["extractor"], DATA))

    same = ["regularizer.weight=3", "metric.levels=[1,2]", "trainer.steps=7", "trainer.devices=2"]
    assert {extractor(override) for override in same} == {extractor()}
    other = ["seed=1", "metric.extractor.steps=7", "metric.extractor.channels=[4]", "trainer.lr=1"]
    other += ["metric.extractor.early_stopping=3", "metric.extractor.trainer={lr:2}"]
    other += ["metric.extractor.augmentation={rotation:1}"]
    assert len({extractor(override) for override in other} | {extractor()}) == len(other) + 1


def test_what_an_extractor_sets_for_itself_counts_by_what_it_amounts_to():
    def extractor(*overrides):
        composed = experiment(["metric=deepsim_ae", *overrides])
        return digest(extractor_identity(composed, composed["metric"]["extractor"], DATA))

    assert extractor("metric.extractor.trainer={lr:2}") == extractor("trainer.lr=2")
    assert extractor("metric.extractor.trainer={lr:${trainer.lr}}") == extractor()
    assert extractor("metric.extractor.augmentation={rotation:1}") == extractor(
        "dataset.augmentation.rotation=1"
    )


def test_an_extractor_is_trained_by_the_settings_of_its_section():
    composed = experiment(
        [
            "metric=deepsim_ae",
            "metric.extractor.steps=9",
            "metric.extractor.early_stopping=3",
            "metric.extractor.trainer={lr:2}",
        ]
    )
    found = composed.extractor_settings(composed["metric"]["extractor"])
    assert (found.steps, found.early_stopping, found.lr) == (9, 3, 2)
    assert found.batch_size == composed.settings.batch_size
    assert composed.settings.lr != 2


def test_extractor_settings_are_part_of_the_runs_identity():
    seg = "metric=deepsim_seg"
    assert identity(seg, "metric.extractor.steps=7") != identity(seg)
    assert identity(seg, "metric.levels=[1,2]") != identity(seg)


def test_weights_of_a_file_count_by_content_not_by_place(tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
    ids = [
        identity("metric=vgg", f"metric.extractor.state_dict={tmp_path / name}") for name in "abc"
    ]
    assert ids[0] == ids[1] != ids[2]
    assert identity("metric=vgg") not in ids


def test_name_of_a_run_is_readable_and_ends_in_its_hash():
    composed = experiment(["metric=mse", "regularizer.weight=0.25", "seed=3"])
    assert run_name(composed, "0a1b2c3d") == "demo-mse-0.25-seed3-0a1b2c3d"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["metric.extractor.steps=-1"], "metric.extractor.steps=-1: must be a whole number of at"),
        (["metric.extractor.steps=1.5"], "metric.extractor.steps=1.5: must be a whole number"),
        (["metric.extractor.trainer=3"], "metric.extractor.trainer=3: must be a section"),
        (["metric.extractor.trainer={lr:-1}"], "metric.extractor.trainer.lr=-1: must be a fin"),
        (["metric.extractor.trainer={x:1}"], "Unknown metric.extractor.trainer.x. Known: accel"),
        (["metric.extractor.trainer={steps:1}"], "trainer.steps: set metric.extractor.steps"),
        (
            ["metric.extractor.trainer={dropout:true}"],
            "trainer.dropout: set metric.extractor.dropo",
        ),
        (
            ["metric.extractor.trainer={budget:paper}"],
            "metric.extractor.trainer.budget: applies to the whole run. An extractor may differ in "
            "accelerator, accumulate, batch_size",
        ),
        (["metric.extractor.channels=7"], "metric.extractor.channels=7: must be a list of whole"),
        (["metric.extractor.channels=null"], "metric.extractor.channels=null: must be a list of"),
        (
            ["metric.extractor.channels=[]"],
            r"metric.extractor.channels=\[\]: must be a list of whole",
        ),
        (
            ["metric.extractor.channels=[4,0]"],
            r"metric.extractor.channels=\[4,0\]: must be a list",
        ),
        (["dataset.augmentation=false"], "dataset.augmentation=false: must be a section, such as"),
        (["metric.extractor.trainer=false"], "metric.extractor.trainer=false: must be a section"),
        (["metric.extractor.augmentation=0"], "metric.extractor.augmentation=0: must be a section"),
        (
            ["metric.extractor.trainer={lr:1e-3,lr_decay:1}"],
            "Unknown metric.extractor.trainer.lr_decay. Known: accel",
        ),
        (["metric.extractor.early_stopping=0"], "metric.extractor.early_stopping=0: must be null"),
        (["metric.extractor.augmentation=x"], "metric.extractor.augmentation=x: must be a section"),
        (["~metric.extractor.steps"], "metric.extractor.steps=null: must be a whole number of at"),
        (["metric.extractor=null"], r"metric.extractor=null: must be a section with _target_"),
        (["metric.extractor.dataset=[a]"], r"metric.extractor.dataset=\[a\]: must be the name"),
        (["metric.extractor.root=X"], "metric.extractor.root=X: is for another data set"),
    ],
)
def test_extractor_that_cannot_be_trained_is_refused_early(overrides, words):
    with pytest.raises(ConfigError, match=words):
        experiment(["metric=deepsim_ae", *overrides])


def test_extractor_of_a_term_is_named_by_its_place():
    with pytest.raises(ConfigError, match=r"metric.terms.deepsim_ae.extractor.steps=-1: must be a"):
        experiment(["metric=sum", "metric.terms.deepsim_ae.extractor.steps=-1"])


def test_sweep_of_weights_and_biases_asks_for_what_exists():
    with open(CONF / "wandb_sweep.yaml") as file:
        sweep = yaml.safe_load(file)
    assert sweep["metric"]["name"].startswith("validation/")  # test pairs choose nothing
    parameters = sweep["parameters"]
    values = {key: own.get("values", [own.get("value")]) for key, own in parameters.items()}
    for metric in values["metric"]:
        for scale in values["regularizer.scale"]:
            chosen = [f"dataset={values['dataset'][0]}", f"metric={metric}"]
            assert experiment([*chosen, f"regularizer.scale={scale}"]).weight > 0


@pytest.mark.parametrize("classes", [{1: None, 2: "NA"}, {"1": None, "2": "NA"}])
def test_class_called_null_keeps_its_name(classes):
    assert LabelTable(classes, None).names == {0: "background", 1: "null", 2: "NA"}
    assert LabelTable(None, {None: 1, "NA": 2}).names == {0: "background", 1: "null", 2: "NA"}


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("tracker", r"^tracker=null: must be one of none, tensorboard, wandb\.$"),
        ("metric", r"^metric=null: must be one of custom, .*, vgg\.$"),
        ("seed", r"^seed is missing\. Set it, or drop ~seed\.$"),
        ("model.name", r"^model\.name is missing\. Set it"),
    ],
)
def test_what_is_missing_from_a_configuration_is_named(place, line):
    config = copy.deepcopy(compose_raw([]))
    section, _, key = place.rpartition(".")
    with open_dict(config):
        del (config[section] if section else config)[key]
    with pytest.raises(ConfigError, match=line):
        Experiment.from_config(config)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["metric=sum", "metric.terms=null"], r"^metric.terms=null: must be metrics by name, such"),
        (["metric=sum", "metric.terms=5"], r"^metric.terms=5: must be metrics by name, such as"),
        (
            ["metric=sum", "+metric.terms.a=5"],
            r"^metric.terms.a=5: must be a metric, such as \+met",
        ),
        (["metric=sum", "metric.terms.ncc=null"], r"^metric.terms.ncc=null: must be a metric"),
        (["~task"], r"^task=null: must be one of changes, perception, registration, synthesis\.$"),
        (["~task.name"], r"^task\.name is missing\. Set it, or drop ~task\.name\.$"),
        (["task.name=[a]"], r"^task\.name=\[a\]: must consist of letters"),
        (["task.name=null"], r"^task\.name=null: must consist of letters"),
        (["metric.name=nan"], r"^metric\.name=nan: is read as .* 'metric\.name=\"nan\"'\.$"),
        (["metric.name=true"], r"^metric\.name=true: is read as .* 'metric\.name=\"true\"'\.$"),
        (["task.name=a/b", "task._target_=mine.Task"], r"^task\.name=a/b: must consist of letters"),
        (
            ["task.name=foo"],
            r"^task.name=foo: bench.tasks.registration.Registration is the task reg",
        ),
        (
            ["task=perception", "task.name=registration"],
            r"Perception is the task perception\. Leave",
        ),
        (
            ["+task.uses=abc"],
            r"^task\.uses=abc: must be a list of some of metric, regularizer, tra",
        ),
        (
            ["task=perception", "task.uses=[[a]]"],
            r"^task\.uses=\[\[a\]\]: must be a list of some",
        ),
        (["+model.uses=[[a]]"], r"^model\.uses=\[\[a\]\]: must be a list of some of metric"),
        (
            ["dataset.recommended=null"],
            r"^model\.norm: reads dataset\.recommended\.norm, which is missing\. Restore it, or",
        ),
        (
            ["~dataset.recommended"],
            r"^model\.norm: reads dataset\.recommended\.norm, which is miss",
        ),
        (["dataset.recommended.short=null"], r"^trainer\.\w+: reads dataset\.recommended\.short\."),
        (
            ["regularizer.scale=1e400"],
            r"^regularizer\.scale=inf: must be a number from 0 to ",
        ),
        (["regularizer.scale=1.7e308", "metric=nmi", "dataset=brain"], r"^regularizer\.scale=1\.7"),
    ],
)
def test_what_is_of_the_wrong_form_is_named(overrides, line):
    with pytest.raises(ConfigError, match=line):
        experiment(overrides)


@pytest.mark.parametrize("task", options("task"))
def test_tasks_of_the_suite_have_their_names_and_others_any(task):
    assert experiment([f"task={task}"])["task"]["name"] == task
    mine = experiment([f"task={task}", "task._target_=mine.Task", "task.name=brightness"])
    assert mine["task"]["name"] == "brightness"


def test_numbers_of_the_task_count_as_they_are_and_not_as_they_are_written():
    def identities(*overrides):
        composed = experiment(["metric=ncc", *overrides])
        return json.dumps([run_identity(composed, DATA, {}), variant_identity(composed, DATA)])

    for task, written in (
        ("perception", ("levels=[34,28]", "levels=[34.0,28.0]", "levels=[34.5,28]")),
        ("synthesis", ("factor=1", "factor=1.0", "factor=1.5")),
    ):
        first, same, other = (identities(f"task={task}", f"task.{one}") for one in written)
        assert first == same != other
