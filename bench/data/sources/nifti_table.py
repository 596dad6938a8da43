"""Your own images, listed in a CSV table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.config.overrides import quoted
from bench.data.files.images import read_raw
from bench.data.files.kinds import stem_of
from bench.data.sources.csv_table import Row, check_split, read_table
from bench.data.sources.nnunet import nnunet_hint
from bench.data.sources.paired_folders import are_paired, rows_of_folders
from bench.data.sources.source import Source
from bench.data.sources.subject import ATLAS, TEST, Raw, Subject
from bench.errors import ConfigError, DataError

SUBJECTS = ("image",)
PAIRS = ("moving", "fixed")
FURTHER = (
    *("labels", "landmarks", "id", "split"),
    *(f"{role}_{what}" for role in PAIRS for what in ("labels", "landmarks")),
)


@dataclass(frozen=True)
class _Listed:
    """Files of a subject as a table names them, and its split; empty is none."""

    image: str
    labels: str
    landmarks: str
    split: str


@dataclass(kw_only=True)
class NiftiTable(Source):
    """A table of subjects, or of pairs; paths are relative to `root`.

    Subjects: columns `image` and, if there are any, `labels`, `landmarks`, `id` and `split`;
    `dataset.pairs` pairs them, and a row with split `atlas` is the atlas. Pairs: columns `moving`,
    `fixed` and, if there are any, `moving_labels`, `fixed_labels`, `moving_landmarks`,
    `fixed_landmarks` and `split`; they are taken as given, whatever `dataset.pairs` says. Without a
    column `split` everything is tested on. An image that is only ever fixed may be so in several
    splits. An image is a file of any kind that is read, a folder of a DICOM series, or several
    files between semicolons (`t1.nii.gz;t2.nii.gz`), whose channels follow each other. Without a
    table, files of one name in the folders `moving` and `fixed` are pairs; `moving_labels`,
    `fixed_landmarks` and the like are folders, too.

    Attributes:
        table_file: The CSV file, relative to `root`.
        columns: The table's names of columns, by the names above, where they differ.
        mask: Column of each image's mask, 0 outside; in a table of pairs of both images, or
            `moving_` and `fixed_` and its name. Outside, images have their least intensity and
            label 0, so that `metric.mask=foreground` looks inside.
        ignore_affine: Assumes that labels lie on their image's grid, whatever their header says.
    """

    HARMLESS = Source.HARMLESS | {"table_file", "columns"}  # subjects and pairs that it lists count

    WITHOUT_NULL = Source.WITHOUT_NULL | {"mask"}

    table_file: str = "subjects.csv"
    columns: Mapping[str, str] = field(default_factory=dict)
    mask: str | None = None
    ignore_affine: bool = False

    def subjects(self) -> list[Subject]:
        path, rows = self._rows()
        listed = self._of_pairs(path, rows) if "moving" in rows[0] else self._of_rows(path, rows)
        root = self.existing_root()
        masks = self._masks(path, rows)
        found = []
        for name, one in listed.items():
            first, *further = (root / part for part in parts_of_cell(one.image))
            found.append(
                Subject(
                    name,
                    one.split,
                    first,
                    root / one.labels if one.labels else None,
                    further=tuple(further),
                    landmarks=root / one.landmarks if one.landmarks else None,
                    mask=root / masks[one.image] if one.image in masks else None,
                )
            )
        return found

    def given_pairs(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        _, rows = self._rows()
        if "moving" not in rows[0]:
            return {}
        given: dict[str, list[tuple[str, str]]] = {}
        for row in rows:
            given.setdefault(row.get("split", TEST), []).append((row["moving"], row["fixed"]))
        return given

    def read(self, subject: Subject) -> Raw:
        raw = read_raw(subject.images, subject.labels, self.ndim, self.ignore_affine)
        if subject.mask is None:
            return raw
        mask = read_raw(subject.images[:1], subject.mask, self.ndim, self.ignore_affine).labels
        assert mask is not None
        return replace(raw, mask=mask != 0)

    def settings(self) -> dict[str, Any]:
        given = {split: list(pairs) for split, pairs in self.given_pairs().items()}
        return super().settings() | {"given": given}

    def _rows(self) -> tuple[Path, list[Row]]:
        root = self.existing_root()
        if not isinstance(self.table_file, str):
            raise ConfigError(
                f"dataset.table_file={quoted(self.table_file)}: must be the path of a CSV file, "
                "relative to dataset.root."
            )
        path = root / self.table_file
        if not path.exists():
            if are_paired(root):
                return root, rows_of_folders(root)
            raise DataError(
                f"dataset {self.name}: {path} does not exist. Write a CSV there with the columns "
                "image, labels and split, name your table with dataset.table_file, or put pairs "
                f"into folders moving and fixed.{nnunet_hint(path.parent)}"
            )
        alternatives = [{self.columns.get(name, name) for name in one} for one in (SUBJECTS, PAIRS)]
        besides = " or set dataset.columns.{meant}={column}"
        rows = read_table(path, *alternatives, optional=self._optional(), others=besides)
        for name, theirs in self.columns.items():
            if theirs not in rows[0]:
                raise DataError(
                    f"{path}: lacks the column {theirs} of dataset.columns.{name}; it has "
                    f"{', '.join(rows[0])}. Correct the table or the setting."
                )
            for row in rows:
                row[name] = row[theirs]
        return path, rows

    def _optional(self) -> list[str]:
        """Columns that are read where they are there."""
        named = [name for name in FURTHER if name not in self.columns]
        return [*named, *self.columns.values(), *([] if self.mask is None else [self.mask])]

    def _masks(self, path: Path, rows: Sequence[Row]) -> dict[str, str]:
        """The masks of images, by the cells that name both."""
        if self.mask is None:
            return {}
        roles: Sequence[str] = PAIRS if "moving" in rows[0] else SUBJECTS
        each = [f"{role}_{self.mask}" for role in roles]
        if self.mask not in rows[0] and not set(each) <= set(rows[0]):
            lacking = f"{self.mask}, nor {' and '.join(each)}" if roles == PAIRS else self.mask
            there = [column for column in rows[0] if column not in self.columns]
            raise DataError(
                f"{path}: has no column {lacking}; its columns are {', '.join(there)}. Correct "
                "dataset.mask."
            )
        found: dict[str, str] = {}
        for row in rows:
            for role in roles:
                mask = row.get(f"{role}_{self.mask}") or row.get(self.mask)
                if not mask:
                    raise DataError(
                        f"{path}: line {row.line} gives {row.get(role)} no mask in the column "
                        f"{self.mask}. Fill it in, or correct dataset.mask."
                    )
                if found.setdefault(row.get(role, ""), mask) != mask:
                    raise DataError(
                        f"{path}: line {row.line} gives {row.get(role)} the mask {mask}, but an "
                        f"earlier line gives {found[row[role]]}. Give an image the same mask each "
                        "time."
                    )
        return found

    def _of_rows(self, path: Path, rows: Sequence[Row]) -> dict[str, _Listed]:
        names = [
            row.get("id") or stem_of(Path(parts_of_cell(row.get("image", ""))[0])) for row in rows
        ]
        for name, row in zip(names, rows, strict=True):
            if not row.get("image"):
                raise DataError(f"{path}: line {row.line} has no image. Fill it in.")
            check_split(path, name, row.get("split", TEST), "split", atlas=True)
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise DataError(
                f"{path}: subject {repeated[0]} is listed more than once. Remove a row, or "
                "distinguish equal file names with a column id."
            )
        atlases = [row for row in rows if row.get("split") == ATLAS]
        if len(atlases) > 1:
            raise DataError(
                f"{path}: line {atlases[1].line} is a second atlas. Keep one row with split "
                f"{ATLAS}; for several fixed images list pairs ({', '.join(PAIRS)})."
            )
        return {
            name: _Listed(
                row["image"],
                row.get("labels", ""),
                row.get("landmarks", ""),
                row.get("split", TEST),
            )
            for name, row in zip(names, rows, strict=True)
        }

    def _of_pairs(self, path: Path, rows: Sequence[Row]) -> dict[str, _Listed]:
        """Subjects by the path of their image, each in the split of its pairs."""
        listed: dict[str, _Listed] = {}
        moving = {row.get("moving", "") for row in rows}
        for row in rows:
            if row.get("moving") and row.get("moving") == row.get("fixed"):
                raise DataError(
                    f"{path}: line {row.line} pairs {row['moving']} with itself. Name two "
                    "different images."
                )
            for role in ("moving", "fixed"):
                image = row.get(role, "")
                if not image:
                    raise DataError(f"{path}: line {row.line} has no {role} image. Fill it in.")
                split = check_split(path, image, row.get("split", TEST), "split")
                given = {what: row.get(f"{role}_{what}", "") for what in ("labels", "landmarks")}
                known = listed.setdefault(image, _Listed(image, **given, split=split))
                for what, file in given.items():
                    earlier = getattr(known, what)
                    if earlier != file:
                        raise DataError(
                            f"{path}: line {row.line} gives {image} the {what} {file or 'none'}, "
                            f"but an earlier line gives {earlier or 'none'}. Give an image the "
                            f"same {what} each time."
                        )
                if known.split not in (split, ATLAS):
                    if image in moving:
                        raise DataError(
                            f"{path}: {image} is in {known.split} and in {split}. Keep every image "
                            "in one split."
                        )
                    listed[image] = replace(known, split=ATLAS)
        return listed


def parts_of_cell(cell: str) -> list[str]:
    """The files that a cell of an image lists, one after the other, between semicolons."""
    return [part.strip() for part in cell.split(";")]
