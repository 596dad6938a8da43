"""Command lines that nobody thought of."""

import copy
import math

from conf_options import compose_raw
from fuzzing import efforts, explore, reading
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bench.cli.messages import explain
from bench.config.command_line import understood
from bench.config.experiment import Experiment
from bench.config.overrides import quoted
from bench.data.setup import make_source

KEYS = ["results_dir", "dataset.root", "seed", "metric", "+experiment", "trainer.lr", "~tracker"]
KEYS += ["dataset", "++model.x", "metric.name", "", "regularizer.weight"]
PIECES = ["=", ",", "'", '"', "(", "[", "{", "}", "]", "~", "${", ":", "\\", " ", "a", "1", "-m"]
TEXTS = st.one_of(st.text(max_size=6), st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "none", "auto", "a b", "1", "${x}", "../x"]),
    st.text(max_size=4),
)
VALUES = st.one_of(
    SCALARS,
    SCALARS,
    st.lists(SCALARS, max_size=4),
    st.dictionaries(st.sampled_from(["train", "val", "test", "x"]), SCALARS, max_size=3),
)


@efforts
def test_arguments_are_read_or_told_in_one_line(effort):
    def check(arguments):
        found = reading(understood, arguments)
        if found is None:
            return
        assert len(found) == len(arguments)
        for given, argument in zip(arguments, found, strict=True):
            if not given.startswith("-"):
                assert argument.partition("=")[0] == given.partition("=")[0]

    pair = st.builds("{}={}".format, st.sampled_from(KEYS), TEXTS)
    arguments = st.lists(st.one_of(pair, pair, TEXTS), min_size=1, max_size=3)
    explore(check, 60 * effort, arguments=arguments)


@efforts
def test_values_come_back_from_the_grammar(effort):
    def check(value):
        override = OverridesParser.create().parse_override(f"dataset.root={quoted(value)}")
        config = OmegaConf.create({"x": override.value()})
        found = OmegaConf.to_container(config, resolve=True)["x"]
        assert repr(found) == repr(value)
        assert not override.is_sweep_override()

    explore(check, 60 * effort, value=VALUES)


def leaves(config, place=""):
    """Paths of the values of a configuration."""
    for key in config:
        node = config._get_node(key)
        inner = f"{place}.{key}".lstrip(".")
        yield inner
        if OmegaConf.is_dict(node) and not node._is_none() and not node._is_missing():
            yield from leaves(node, inner)


@efforts
def test_settings_are_taken_as_they_are_or_told_in_one_line(effort):
    plain = compose_raw([])
    counts = ("trainer.steps", "trainer.batch_size", "seed")
    numbers = ("trainer.lr", "regularizer.weight")

    def check(place, value):
        config = copy.deepcopy(plain)
        try:
            OmegaConf.update(config, place, value, merge=False)
            experiment = Experiment.from_config(config)
            make_source(experiment)
        except Exception as error:
            line = explain(error)
            if line.endswith("shows the traceback)"):
                raise
            return
        if place in (*counts, *numbers):
            assert type(value) is int or place in numbers
            assert 0 <= value < math.inf
            assert not isinstance(value, bool)

    places = st.one_of(st.sampled_from([*counts, *numbers]), st.sampled_from(sorted(leaves(plain))))
    explore(check, 60 * effort, place=places, value=VALUES)
