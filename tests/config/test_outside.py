"""What a class outside the suite changes: its options, and its file."""

import hashlib
import importlib
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest
from conf_options import experiment

from bench.config.extractors import extractor_sections
from bench.config.identity import digest, extractor_identity, run_identity
from bench.config.imports import imported_modules
from bench.config.outside import check_found, code_of_class, code_outside
from bench.data.cache.preparing import cache_folder
from bench.data.setup import make_source
from bench.errors import ConfigError

DATA = {"fingerprint": "f", "settings": {}}
SOURCE = """
from dataclasses import dataclass
from bench.data import Demo

@dataclass(kw_only=True)
class Gamma(Demo):
    gamma: float = 1.0
    note: str = ""
    HARMLESS = Demo.HARMLESS | {"note"}
"""
TARGETS = {
    "task": ["task._target_=outside_part.Thing"],
    "metric": ["metric._target_=outside_part.Thing"],
    "regularizer": ["regularizer._target_=outside_part.Thing"],
    "model": ["model._target_=outside_part.Thing"],
    "extractor": ["metric=deepsim_ae", "metric.extractor._target_=outside_part.Thing"],
    "pretrained": ["metric=vgg", "metric.extractor._target_=outside_part.Thing"],
}


@pytest.fixture
def module(tmp_path, monkeypatch) -> Path:
    """The file of a module outside the suite, which can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path / "outside_part.py"
    for name in ("outside_part", "lab"):
        sys.modules.pop(name, None)


def identities(overrides):
    """Of the run, and of its extractors."""
    composed = experiment(overrides)
    extractors = {
        place: digest(extractor_identity(composed, section, DATA))
        for place, section in extractor_sections(composed["metric"])
    }
    return digest(run_identity(composed, DATA, extractors)), extractors


@pytest.mark.parametrize("group", TARGETS)
def test_editing_the_file_of_a_class_makes_another_run(group, module):
    module.write_text("class Thing: ...\n")
    importlib.invalidate_caches()
    before, same = identities(TARGETS[group]), identities(TARGETS[group])
    module.write_text("class Thing: better = True\n")
    after = identities(TARGETS[group])
    assert before == same
    assert before[0] != after[0]
    for place, identity in before[1].items():
        assert identity != after[1][place]


def test_class_counts_as_the_process_imported_it(module):
    module.write_text("class Thing: ...\n")
    importlib.invalidate_caches()
    earlier = identities(TARGETS["metric"])
    module.write_text("class Thing: better = True\n")
    before = identities(TARGETS["metric"])
    importlib.import_module("outside_part")
    module.write_text("class Thing: worse = True\n")  # edited while a sweep runs
    assert identities(TARGETS["metric"]) == before != earlier
    del sys.modules["outside_part"]
    assert identities(TARGETS["metric"]) != before


IMPORTS = {  # files of a package `lab` and beside it, and how `lab.metric` reaches `edited`
    "beside": ("helper.py", {"lab/metric.py": "import helper\n"}),
    "from beside": ("helper.py", {"lab/metric.py": "from helper import thing\n"}),
    "package": ("lab/helper.py", {"lab/metric.py": "from lab import helper\n"}),
    "relative": ("lab/helper.py", {"lab/metric.py": "from . import helper\n"}),
    "of its class": ("lab/__init__.py", {"lab/metric.py": ""}),
    "parent": ("tools/__init__.py", {"lab/metric.py": "import tools.deep\n", "tools/deep.py": ""}),
    "in a function": (
        "lab/helper.py",
        {"lab/metric.py": "def later():\n    from .helper import thing\n"},
    ),
    "two away": (
        "lab/parts/far.py",
        {
            "lab/metric.py": "from .parts import near\n",
            "lab/parts/near.py": "from ..parts.far import thing\nfrom .. import metric\n",
        },
    ),
}


@pytest.mark.parametrize("reached", IMPORTS)
def test_editing_what_a_file_imports_makes_another_run(reached, module):
    edited, files = IMPORTS[reached]
    folder = module.parent
    for name, text in {"lab/__init__.py": "", edited: "", "other.py": "", **files}.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text + "class Thing: ...\n" * (file.name == "metric.py"))
    importlib.invalidate_caches()
    chosen = ["metric._target_=lab.metric.Thing"]
    before = identities(chosen)
    (folder / "other.py").write_text("edited = True\n")  # which nothing imports
    assert identities(chosen) == before
    (folder / edited).write_text("edited = True\n")
    sys.modules.pop("lab", None)  # as in the next process
    assert identities(chosen) != before


def write(folder, files):
    """Files of modules, which the process can find at once."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    importlib.invalidate_caches()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder that modules are imported from; they are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_installed_libraries_and_those_of_python_do_not_count(place, monkeypatch):
    installed = place / "site-packages"
    monkeypatch.syspath_prepend(str(installed))
    write(installed, {"library.py": "import beside_library", "beside_library.py": ""})
    content = b"import library, json, os, sys, torch.nn"
    assert imported_modules("mine", place / "mine.py", content) == {}
    assert imported_modules("library", installed / "library.py", b"import beside_library") == {}


def test_folder_of_a_package_may_have_another_name(place, monkeypatch):
    write(place, {"source/__init__.py": "", "source/parts/__init__.py": "", "source/far.py": ""})

    class Editable:
        """As an installer makes one for a package that stays where it is developed."""

        def find_spec(self, name, path=None, target=None):
            file = place / "source" / "__init__.py"
            places = [str(file.parent)]
            found = spec_from_file_location(name, file, submodule_search_locations=places)
            return found if name == "lab" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Editable()])
    file = place / "source" / "parts" / "metric.py"
    found = imported_modules("lab.parts.metric", file, b"from lab.far import thing")
    assert sorted(found) == ["lab", "lab.far", "lab.parts"]
    assert found["lab.far"] == place / "source" / "far.py"


@pytest.mark.parametrize("text", ["class", "\0", "x = " + "1 + " * 20_000 + "1"])
def test_file_that_cannot_be_parsed_imports_nothing(text, place):
    write(place, {"helper.py": ""})
    file = place / "mine.py"
    assert list(imported_modules("mine", file, b"import helper")) == ["helper"]
    assert imported_modules("mine", file, f"import helper\n{text}".encode()) == {}


def test_classes_in_a_list_count(place):
    write(place, {"parts.py": ""})
    assert list(code_outside({"parts": [{"_target_": "parts.A"}]})) == ["parts"]


def test_file_named_like_one_of_python_counts(place):
    write(place, {"chunk.py": "class Mine: ...", "mine.py": "import chunk"})
    assert list(code_outside({"_target_": "mine.Mine"})) == ["mine", "chunk"]
    assert list(code_of_class(importlib.import_module("chunk").Mine)) == ["chunk"]


def test_file_in_a_package_may_import_from_its_folder(place):
    write(place, {"lab/metric.py": "import helper", "lab/helper.py": "", "lab/__init__.py": ""})
    found = code_outside({"_target_": "lab.metric.Mine"})
    assert sorted(found) == ["helper", "lab", "lab.metric"]


def test_of_two_modules_of_a_name_that_counts_which_python_finds(place, monkeypatch):
    for name, text in (("first", "k = 1"), ("second", "k = 2")):
        write(place / name, {"helper.py": text, f"of_{name}.py": "import helper"})
    for name in ("second", "first"):
        monkeypatch.syspath_prepend(str(place / name))
    before = code_outside({"_target_": "of_second.Mine"})
    importlib.import_module("of_first")
    assert code_outside({"_target_": "of_second.Mine"}) == before
    assert before["helper"] == hashlib.sha256(b"k = 1").hexdigest()


def test_package_spread_over_several_folders_counts(place, monkeypatch):
    for name in ("first", "second"):
        monkeypatch.syspath_prepend(str(place / name))
    write(
        place, {"first/lab/deep/one.py": "from lab.deep.two import b", "second/lab/deep/two.py": ""}
    )
    found = code_outside({"_target_": "lab.deep.one.Mine"})
    assert list(found) == ["lab.deep.one", "lab.deep.two"]


def test_module_that_replaces_itself_counts_as_it_was_imported(place):
    text = "import sys\nclass Own:\n    __slots__ = ()\n    __hash__ = None\n"
    write(place, {"own.py": f"{text}sys.modules[__name__] = Own()\n"})
    before = code_outside({"_target_": "own.Mine"})
    importlib.import_module("own")
    assert code_outside({"_target_": "own.Mine"}) == before
    write(place, {"own.py": ""})  # edited while a sweep runs
    assert code_outside({"_target_": "own.Mine"}) == before


def test_finding_a_class_runs_none_of_its_packages(place):
    write(place, {"lab/__init__.py": "1 / 0", "lab/metric.py": ""})
    assert list(code_outside({"_target_": "lab.metric.Mine"})) == ["lab.metric", "lab"]


def test_modules_in_an_archive_count(place, monkeypatch):
    with zipfile.ZipFile(place / "code.zip", "w") as archive:
        archive.writestr("packed.py", "import helper_packed")
        archive.writestr("helper_packed.py", "")
    monkeypatch.syspath_prepend(str(place / "code.zip"))
    found = code_outside({"_target_": "packed.Mine"})
    assert list(found) == ["packed", "helper_packed"]
    assert found["helper_packed"] == hashlib.sha256(b"").hexdigest()


def test_class_may_have_the_name_of_its_module(place):
    write(place, {"lab/__init__.py": "from .Mine import Mine", "lab/Mine.py": "class Mine: ..."})
    assert list(code_outside({"_target_": "lab.Mine"})) == ["lab", "lab.Mine"]


def test_libraries_installed_in_another_folder_do_not_count(place):
    write(place, {"library/__init__.py": "", "single.py": "", "helper.py": ""})
    write(place, {"library-1.0.dist-info/METADATA": "Name: library\nVersion: 1.0\n"})
    write(place, {"library-1.0.dist-info/RECORD": "library/__init__.py,,\nsingle.py,,\n"})
    found = imported_modules("mine", place / "mine.py", b"import library, single, helper")
    assert list(found) == ["helper"]


def test_finders_of_an_older_kind_are_passed_over(place, monkeypatch):
    write(place, {"mine.py": ""})
    monkeypatch.setattr(sys, "meta_path", [object(), *sys.meta_path])
    assert list(code_outside({"_target_": "mine.Mine"})) == ["mine"]


def test_class_in_a_module_that_is_not_found_is_refused(place):
    write(place, {"mine.py": ""})
    check_found({"metric": {"_target_": "mine.Mine"}, "model": {"_target_": "bench.none.X"}})
    with pytest.raises(ConfigError, match=r"^model._target_=nowhere.M: cannot be built \(No mod"):
        check_found({"model": {"parts": [{"_target_": "nowhere.M"}]}})


def test_compiled_modules_count(place):
    write(place, {f"compiled{EXTENSION_SUFFIXES[0]}": "\0", "mine.py": "import compiled"})
    assert list(code_outside({"_target_": "mine.Mine"})) == ["mine", "compiled"]


def gamma(*overrides):
    """Cache folder, settings and fingerprint of a data set of the user's."""
    target = ["dataset._target_=outside_part.Gamma", *overrides]
    source = make_source(experiment(["dataset.resolution=8", "dataset.shape=[8,8]", *target]))
    subjects = source.subjects()
    return cache_folder(source, subjects, Path("cache")), source.fingerprint(subjects)


def test_option_of_a_data_set_counts_unless_it_is_named_harmless(module):
    module.write_text(SOURCE)
    importlib.invalidate_caches()
    one, three = gamma("+dataset.gamma=1.0"), gamma("+dataset.gamma=3.0")
    assert one == gamma()
    assert one[0] != three[0]
    assert one[1] != three[1]
    assert gamma("+dataset.note=changed") == one


def test_editing_the_file_of_a_data_set_makes_another_cache(module):
    module.write_text(SOURCE)
    importlib.invalidate_caches()
    before = gamma()
    assert before == gamma()
    module.write_text(SOURCE + "# another\n")
    del sys.modules["outside_part"]  # as in the next process
    after = gamma()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_editing_what_the_file_of_a_data_set_imports_makes_another_cache(module):
    helper = module.with_name("outside_helper.py")
    module.write_text(SOURCE + "def later():\n    import outside_helper\n")
    helper.write_text("")
    importlib.invalidate_caches()
    before = gamma()
    assert before == gamma()
    helper.write_text("edited = True\n")
    assert gamma()[0] != before[0]
