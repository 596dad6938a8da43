"""Brain MRI in the layout of the DeepSim papers: subjects and one atlas."""

from dataclasses import dataclass

from bench.data.files.images import read_raw
from bench.data.sources.csv_table import check_split, read_table
from bench.data.sources.nnunet import nnunet_hint
from bench.data.sources.oasis import layout_of
from bench.data.sources.source import Source
from bench.data.sources.subject import ATLAS, Raw, Subject
from bench.errors import DataError

IMAGE = "brain_aligned.nii.gz"
LABELS = "seg_coalesced_aligned.nii.gz"


@dataclass(kw_only=True)
class Brain(Source):
    """`metadata.csv` with subject_id and SPLIT, `data/<id>/` and `atlas/` with image and labels.

    Attributes:
        ignore_affine: Assumes that labels lie on their image's grid, whatever their header says.
    """

    ignore_affine: bool = False

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        listing = root / "metadata.csv"
        if not listing.exists():
            if layout_of(root):
                raise DataError(
                    f"dataset {self.name}: {root} has the layout of {layout_of(root)}. Use "
                    "dataset=oasis."
                )
            raise DataError(
                f"dataset {self.name}: {listing} does not exist. Point dataset.root at the folder "
                f"that holds metadata.csv, data and atlas.{nnunet_hint(root)}"
            )
        subjects = [Subject(ATLAS, ATLAS, root / "atlas" / IMAGE, root / "atlas" / LABELS)]
        for row in read_table(listing, ("subject_id", "SPLIT")):
            name = row.get("subject_id", "")
            if not name:
                raise DataError(f"{listing}: line {row.line} has no subject_id. Fill it in.")
            split = check_split(listing, name, row.get("SPLIT", ""), "SPLIT")
            folder = root / "data" / name
            subjects.append(Subject(name, split, folder / IMAGE, folder / LABELS))
        return subjects

    def read(self, subject: Subject) -> Raw:
        return read_raw(subject.images, subject.labels, self.ndim, self.ignore_affine)
