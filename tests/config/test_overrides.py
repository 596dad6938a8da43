"""Values survive Hydra's grammar."""

import pytest
from conf_options import compose_raw
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bench.config.overrides import quoted

TEXTS = ["a", "a b", "~/res", "=", "(", "{", "'", '"', "é", "a,b", "$x", "${oc.env:HOME}", "[1]"]
TEXTS += ["\\${a}", "\\\\${a}", "back\\", "\\'", "a\\b", "1", "007", "1e3", "null", "True", "nan"]
TEXTS += [
    "",
    " ",
    "a:b",
    "C:\\Users\\x",
    "a\nb",
    "#",
    "@x",
    "%",
    "<script>",
    "-x",
    "../x",
    "*",
    "?",
]
VALUES = [None, True, 1, -0.5, 1e-07, [1, "a b"], {"a b": [2, 41], "c,d": "rest"}, ["x", None]]


@pytest.mark.parametrize("value", TEXTS + VALUES, ids=repr)
def test_value_comes_back(value):
    override = OverridesParser.create().parse_override(f"dataset.root={quoted(value)}")
    config = OmegaConf.create({"x": override.value()})
    assert OmegaConf.to_container(config, resolve=True) == {"x": value}
    assert type(override.value()) is type(value)
    assert not override.is_sweep_override()


def test_paths_stay_readable():
    assert quoted("/data/my_set-1/x.csv") == "/data/my_set-1/x.csv"


def test_folder_of_any_name_is_composed():
    text = "/tmp/a '=({é, ${oc.env:HOME}"
    config = compose_raw([f"results_dir={quoted(text)}"])
    assert OmegaConf.to_container(config, resolve=True)["results_dir"] == text
