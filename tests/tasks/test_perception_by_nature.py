"""Order by nature and judgements of people: what is compared, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conf_options import in_contrasts, tiny_experiment
from image_files import write_tiff

from bench.config.contents import table_digest
from bench.data import PreparedDataset, TiffStacks, prepare
from bench.data.batches.loading import read_images
from bench.data.setup import make_source
from bench.data.sources.roles import FIXED, MOVING
from bench.errors import DataError
from bench.tasks.perception.judgements import JudgedImages, read_judgements
from bench.tasks.perception.nature import Nature, read_persons

CPU = torch.device("cpu")
PAIRS = {"train": {"policy": "neighbours", "within": 1}, "val": "next", "test": "next"}


def nature(dataset: PreparedDataset, apart=(1, 2, 5), persons=None) -> Nature:
    return Nature(dataset, apart, persons, CPU)


def shown(series, dataset: PreparedDataset, role: str = FIXED) -> list[int]:
    """Which subjects the images of a series are."""
    images = [read_images(dataset, [i], CPU, role) for i in range(len(dataset.ids))]
    return [
        next(i for i, image in enumerate(images) if torch.equal(image, pair.moving))
        for pair in series.pairs
    ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> PreparedDataset:
    """A test stack of 7 sections, which differ."""
    root = tmp_path_factory.mktemp("stacks")
    pages = np.random.default_rng(0).integers(0, 255, (12, 8, 10)).astype(np.uint8)
    write_tiff(root / "images.tif", pages)
    splits = {
        name: {"images": "images.tif", "slices": slices}
        for name, slices in (("train", [0, 3]), ("val", [3, 5]), ("test", [5, 12]))
    }
    source = TiffStacks(
        name="stack", ndim=2, root=root, splits=splits, pairs=PAIRS, intensity={"policy": "bits"}
    )
    return prepare(source, None)


def test_sections_are_so_many_apart_and_of_the_test_split(stack: PreparedDataset) -> None:
    first, *_, last = stack.members("test")
    (series,) = nature(stack).sections(first)
    assert (series.test, list(series.order)) == ("sections", [1, 2, 5])
    assert shown(series, stack) == [first + 1, first + 2, first + 5]
    (series,) = nature(stack).sections(last)  # where the stack has ended, those before
    assert shown(series, stack) == [last - 1, last - 2, last - 5]
    (series,) = nature(stack, (1, 5, 40)).sections(first + 1)
    assert list(series.order) == [1, 5]
    assert all(torch.equal(p.fixed, series.pairs[0].fixed) for p in series.pairs)


def test_sections_that_are_not_there_make_no_order(stack: PreparedDataset) -> None:
    first = stack.members("test")[0]
    assert list(nature(stack, (1, 40)).sections(first)) == []
    assert list(nature(stack, ()).sections(first)) == []


def test_single_images_have_no_order_by_nature(tiny_datasets) -> None:
    dataset = tiny_datasets[2]
    assert list(nature(dataset).series(dataset.members("test")[0])) == []
    assert nature(dataset).visited() == []


def test_other_visits_of_a_person_come_before_other_persons(tiny_datasets) -> None:
    dataset = tiny_datasets[2]
    train, val, test = (dataset.members(split) for split in ("train", "val", "test"))
    persons = {dataset.ids[i]: "p" for i in (*train, val[0], test[0])}
    persons |= {dataset.ids[val[1]]: "q", dataset.ids[test[1]]: "r"}
    found = nature(dataset, persons=persons)
    assert found.visited() == [val[0], test[0]]  # those of training make no visit
    (series,) = found.persons(test[0])
    assert (series.test, list(series.order)) == ("persons", [0, 1, 1])
    assert shown(series, dataset) == [val[0], val[1], test[1]]
    assert list(found.persons(val[1])) == []


def test_same_anatomy_in_another_contrast_comes_before_others(tmp_path) -> None:
    options = [*in_contrasts(2), "dataset.moving=0", "dataset.fixed=1"]
    dataset = prepare(make_source(tiny_experiment(2, *options)), tmp_path)
    member, other = dataset.members("test")
    (series,) = nature(dataset).series(member)
    assert (series.test, list(series.order)) == ("contrasts", [0, 1])
    same, far = (pair.moving for pair in series.pairs)
    assert torch.equal(same, read_images(dataset, [member], CPU, MOVING))
    assert torch.equal(far, read_images(dataset, [other], CPU, FIXED))
    same_channel = [*in_contrasts(2), "dataset.moving=0", "dataset.fixed=0"]
    dataset = prepare(make_source(tiny_experiment(2, *same_channel)), tmp_path)
    assert list(nature(dataset).contrasts(member)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "persons.csv: no such file. Write a CSV with the columns subject_id, person_id"),
        ("subject_id\na\n", "persons.csv: lacks the column person_id"),
        ("subject_id,person_id\ntest000,\n", "line 2 lacks a subject_id or person_id. Fill it in."),
        (
            "subject_id,person_id\ntest000,p\ntest000,q\n",
            "line 3: test000 is of p and of q. Give each subject one person.",
        ),
        (
            "subject_id,person_id\ntrain000,p\ntest000,p\ntest001,q\n",
            "no person has two visits among the validation and test subjects of dataset demo",
        ),
        (
            "subject_id,person_id\ntest000,p\ntest001,p\nelsewhere,q\n",
            "all validation and test subjects of dataset demo that it lists are of one person",
        ),
        (
            "subject_id,person_id\nnobody,p\nnobody2,p\n",
            "lists no subject of dataset demo, but nobody, nobody2. Its subjects are train000, ",
        ),
    ],
)
def test_persons_that_cannot_be_used_are_refused(text, words, tmp_path, tiny_datasets) -> None:
    path = tmp_path / "persons.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError) as refused:
        read_persons(path, tiny_datasets[2])
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


HEAD = "reference,a,b,preferring_b\n"


@pytest.fixture
def judged(tmp_path) -> Path:
    """Images of 17 x 22 voxels, one of another size, one in colour."""
    random = np.random.default_rng(0)
    for name in ("r", "near", "far"):
        write_tiff(tmp_path / f"{name}.tif", random.integers(0, 255, (17, 22)).astype(np.uint8))
    write_tiff(tmp_path / "small.tif", random.integers(0, 255, (9, 9)).astype(np.uint8))
    colors = random.integers(0, 255, (17, 22, 3)).astype(np.uint8)
    write_tiff(tmp_path / "colors.tif", colors, photometric="rgb")
    write_tiff(tmp_path / "flat.tif", np.full((17, 22), 7, np.uint8))
    (tmp_path / "table.csv").write_text(HEAD + "r.tif,near.tif,far.tif,0.25\n")
    return tmp_path


def test_folder_in_the_place_of_a_table_is_named(tmp_path, tiny_datasets) -> None:
    with pytest.raises(DataError, match=r"task.judgements=.*: is a folder. Name a CSV with the"):
        read_judgements(tmp_path)
    with pytest.raises(DataError, match=r"task.persons=.*: is a folder. Name a CSV with the"):
        read_persons(tmp_path, tiny_datasets[2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "r.tif,near.tif,far.tif,1.2\n", "line 2 has 1.2 for preferring_b: must be the"),
        (HEAD + "r.tif,near.tif,far.tif,-0.1\n", "line 2 has -0.1 for preferring_b: must be the"),
        (HEAD + "r.tif,near.tif,far.tif,nan\n", "line 2 has nan for preferring_b"),
        (HEAD + "r.tif,near.tif,far.tif,most\n", "line 2 has most for preferring_b"),
        (HEAD + "r.tif,near.tif,far.tif,\n", "line 2 has nothing for preferring_b"),
        (HEAD + "r.tif,gone.tif,far.tif,1\n", "gone.tif: no such file. Paths are relative to the"),
        (HEAD + f"r.tif,{'x' * 5000}.tif,far.tif,1\n", "x.tif: no such file. Paths are relative"),
        (HEAD + "r.tif,,far.tif,1\n", "line 2 has no image for a. Fill it in."),
        ("reference,a,b\nr.tif,near.tif,far.tif\n", "lacks the column preferring_b"),
        (HEAD, "has no rows below its header"),
        (
            "reference;a;b;preferring_b\nr.tif;near.tif;far.tif;0,5\n",
            "has the heading 'reference;a;b;preferring_b', separated by semicolons. Separate",
        ),
        (None, "task.judgements="),
    ],
)
def test_judgements_that_cannot_be_used_are_refused(text, words, judged: Path) -> None:
    table = judged / "table.csv"
    table.unlink() if text is None else table.write_text(text)
    with pytest.raises(DataError) as refused:
        read_judgements(table)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("colors.tif", "colors.tif: has 3 channel(s), and images of demo show 1. Give files like"),
        ("table.csv", "table.csv"),
        ("flat.tif", "flat.tif: has the same intensity everywhere"),
    ],
)
def test_judged_images_unlike_those_of_the_data_set_are_refused(image, words, judged) -> None:
    (judged / "table.csv").write_text(HEAD + f"r.tif,{image},far.tif,1\n")
    setup = tiny_experiment(2)
    source = make_source(setup)
    files = JudgedImages(source, prepare(source, None), CPU)
    with pytest.raises(DataError) as refused:
        files.check(read_judgements(judged / "table.csv"))
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"{judged / 'table.csv'}: line 2: ")


def test_judged_images_of_other_intensities_are_named(judged: Path) -> None:
    triplets = read_judgements(judged / "table.csv")
    source = make_source(tiny_experiment(2))
    (note,) = JudgedImages(source, prepare(source, None), CPU).check(triplets)
    assert "table.csv: line 2: normalized intensities of r.tif run from 0 to 254, those of " in note
    assert "the test images of demo from" in note
    assert "(2 further images alike); rescale the files, or choose another" in note
    source = make_source(tiny_experiment(2, "+dataset.intensity={policy:bits}"))
    assert JudgedImages(source, prepare(source, None), CPU).check(triplets) == []


def test_judged_images_of_two_sizes_are_refused_with_their_line(judged: Path) -> None:
    (judged / "table.csv").write_text(HEAD + "r.tif,small.tif,far.tif,1\n")
    source = make_source(tiny_experiment(2, "dataset.shape=null"))
    files = JudgedImages(source, prepare(source, None), CPU)
    with pytest.raises(DataError) as refused:
        files.check(read_judgements(judged / "table.csv"))
    said = str(refused.value)
    assert said.startswith(f"{judged / 'table.csv'}: line 2: ")
    assert "small.tif: has shape (9, 9) and its reference r.tif (17, 22). Crop or pad" in said


def test_without_judgements_no_image_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(tiny_experiment(2))
    files = JudgedImages(source, prepare(source, None), CPU)
    monkeypatch.setattr(PreparedDataset, "images_of", None)
    assert files.check([]) == []


def test_judged_images_are_preprocessed_as_those_of_the_data_set(judged: Path) -> None:
    intensity = "+dataset.intensity={policy:quantile,low:0,high:1}"
    source = make_source(tiny_experiment(2, intensity))
    files = JudgedImages(source, prepare(source, None), CPU)
    (triplet,) = read_judgements(judged / "table.csv")
    assert (triplet.subject, triplet.preferring_b) == ("judged/r.tif", 0.25)
    pair = files.pair(triplet, "b")
    assert pair.fixed.shape == (1, 1, 17, 22)
    assert float(pair.fixed.min()) == pytest.approx(0, abs=1e-6)
    assert float(pair.fixed.max()) == pytest.approx(1)
    assert not torch.equal(pair.moving, files.pair(triplet, "a").moving)


def test_one_reference_written_in_two_ways_is_one(judged: Path) -> None:
    rows = "r.tif,near.tif,far.tif,0.5\n./r.tif,far.tif,near.tif,0.5\n"
    rows += f"{judged / 'r.tif'},near.tif,far.tif,0.5\n"
    (judged / "table.csv").write_text(HEAD + rows)
    triplets = read_judgements(judged / "table.csv")
    assert {triplet.subject for triplet in triplets} == {"judged/r.tif"}


def test_content_of_tables_and_images_counts_for_the_identity(judged: Path) -> None:
    known = table_digest(judged / "table.csv", images=True)
    assert table_digest(judged / "table.csv", images=True) == known
    image = (judged / "near.tif").read_bytes()
    (judged / "near.tif").write_bytes(image + b"0")
    assert table_digest(judged / "table.csv", images=True) != known
    (judged / "near.tif").write_bytes(image)
    assert table_digest(judged / "table.csv", images=True) == known
    (judged / "table.csv").write_text(HEAD + "r.tif,near.tif,far.tif,0.5\n")
    assert table_digest(judged / "table.csv", images=True) != known
    assert table_digest(judged / "none.csv", images=True) == str(judged / "none.csv")


def test_content_of_an_image_with_a_comma_in_its_name_counts(judged: Path) -> None:
    (judged / "table.csv").write_text(HEAD + 'r.tif,near.tif,"far, later.tif",0.5\n')
    (judged / "far, later.tif").write_bytes((judged / "far.tif").read_bytes())
    known = table_digest(judged / "table.csv", images=True)
    (judged / "far, later.tif").write_bytes((judged / "near.tif").read_bytes())
    assert table_digest(judged / "table.csv", images=True) != known


def test_content_of_all_files_of_an_image_counts(judged: Path) -> None:
    (judged / "slices").mkdir()
    for name in ("m.mhd", "m.raw", "h.hdr", "h.img", "slices/1.dcm", "in two\nlines.tif"):
        (judged / name).write_text("ElementDataFile = m.raw")
    rows = 'm.mhd,h.hdr,slices,0.5\n"in two\nlines.tif",m.mhd,h.hdr,0.5\n'
    (judged / "table.csv").write_text(HEAD + rows)
    known = {table_digest(judged / "table.csv", images=True)}
    for number, name in enumerate(("m.raw", "h.img", "slices/1.dcm", "in two\nlines.tif"), 2):
        (judged / name).write_text("other content")
        known.add(table_digest(judged / "table.csv", images=True))
        assert len(known) == number, name


def test_of_other_tables_only_their_text_counts(judged: Path) -> None:
    known = table_digest(judged / "table.csv", images=False)
    (judged / "near.tif").write_bytes(b"other content")
    assert table_digest(judged / "table.csv", images=False) == known
