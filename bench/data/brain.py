"""Brain MRI in the layout of the DeepSim papers: subjects and one atlas."""

import csv
from dataclasses import dataclass

from bench.data.source import Source
from bench.data.subject import ATLAS, SPLITS, Subject
from bench.errors import DataError

IMAGE = "brain_aligned.nii.gz"
LABELS = "seg_coalesced_aligned.nii.gz"


@dataclass(kw_only=True)
class Brain(Source):
    """`metadata.csv` with subject_id and SPLIT, `data/<id>/` and `atlas/` with image and labels."""

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        listing = root / "metadata.csv"
        if not listing.exists():
            raise DataError(
                f"dataset {self.name}: {listing} does not exist. Point dataset.root at the folder "
                "that holds metadata.csv, data and atlas."
            )
        with open(listing, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"subject_id", "SPLIT"} - set(reader.fieldnames or [])
            if missing:
                raise DataError(
                    f"{listing}: lacks the column {sorted(missing)[0]}; it has "
                    f"{', '.join(reader.fieldnames or []) or 'none'}. Separate columns by commas."
                )
            rows = [
                ((row["subject_id"] or "").strip(), (row["SPLIT"] or "").strip()) for row in reader
            ]
        unknown = [(name, split) for name, split in rows if split not in SPLITS]
        if unknown:
            raise DataError(
                f"{listing}: subject {unknown[0][0]} has SPLIT {unknown[0][1]!r}; known are "
                f"{', '.join(SPLITS)}."
            )
        folders = [("atlas", ATLAS, root / "atlas")]
        folders += [(name, split, root / "data" / name) for name, split in rows]
        return [
            Subject(name, split, folder / IMAGE, folder / LABELS) for name, split, folder in folders
        ]
