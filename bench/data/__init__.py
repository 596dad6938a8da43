"""Data sets: sources of subjects, preprocessing, cache, pairs, augmentation.

A data set is one small class that lists and reads its subjects (`bench.data.source`) and one
YAML in `conf/dataset/`. Nothing here but augmentation and loading imports torch, so that a
finished run can be found without it.
"""

from bench.data.brain import Brain
from bench.data.cache import prepare
from bench.data.cell_tracking import CellTracking
from bench.data.decathlon import Decathlon
from bench.data.demo import Demo
from bench.data.nifti_table import NiftiTable
from bench.data.oasis import Oasis
from bench.data.prepared import PreparedDataset
from bench.data.tiff_stacks import TiffStacks

__all__ = [
    "Brain",
    "CellTracking",
    "Decathlon",
    "Demo",
    "NiftiTable",
    "Oasis",
    "PreparedDataset",
    "TiffStacks",
    "prepare",
]
