"""A data set that writes down what it reads, and a program that prepares it at the same time as
others: `counted_source.py ROOT CACHE NUMBER COUNT`."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from bench.data.cache.preparing import prepare
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS, Sample, Subject


class Counted(Source):
    """Three text files with a number each, read slowly."""

    def subjects(self):
        names = zip("abc", SPLITS, strict=True)
        return [Subject(name, split, Path(self.root) / f"{name}.txt") for name, split in names]

    def load(self, subject):
        with open(Path(self.root) / "loads.log", "a") as log:
            log.write(f"{os.getpid()}:{subject.id}\n")
        time.sleep(0.1)
        image = np.full((1, 3, 4), int(subject.image.read_text()), np.float32)
        return Sample(image, image[0].astype(np.uint8), (1.0, 1.0))


def main():
    root, cache, number, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    (root / f"{number}.ready").touch()
    while len(list(root.glob("*.ready"))) < int(count):
        time.sleep(0.005)
    pairs = dict.fromkeys(SPLITS, "cross")
    dataset = prepare(Counted(name="counted", ndim=2, classes=9, pairs=pairs, root=root), cache)
    print(dataset.folder.name, dataset.images.sum(), dataset.class_names)


if __name__ == "__main__":
    main()
