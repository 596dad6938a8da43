"""Where the scores of a pair look: the fixed subject's mask."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.data.preprocessing.steps import crop_or_pad
from bench.data.setup import Setup, make_source
from bench.errors import Unsupported


class Masks:
    """The masks of subjects, read when they are first asked for.

    Args:
        setup: The experiment and its data.

    Raises:
        Unsupported: If the data set has no masks.
    """

    def __init__(self, setup: Setup) -> None:
        self.source = make_source(setup.experiment)
        self.subjects = {subject.id: subject for subject in self.source.subjects()}
        self.known: dict[str, Tensor] = {}
        dataset = setup.dataset
        for number in dict.fromkeys(fixed for _, fixed in dataset.pairs("test")):
            name = dataset.ids[number]
            if not self.of(name, dataset.shape).any():
                raise Unsupported(
                    f"task.within_mask=true: the mask of subject {name} has no voxel within its "
                    "preprocessed image. Choose a larger dataset.shape, or correct the mask."
                )

    def of(self, name: str, shape: Sequence[int]) -> Tensor:
        """The mask of a subject, on its image as a pair of this shape has it.

        Args:
            name: The subject.
            shape: Spatial shape; nothing that the image is padded with is in the mask.

        Returns:
            (*S), True inside.
        """
        if name not in self.known:
            mask = self.source.mask_of(self.subjects[name])
            if mask is None:
                raise Unsupported(
                    f"task.within_mask=true: subject {name} of dataset={self.source.name} has no "
                    "mask. Name a column of masks with dataset.mask, or leave within_mask out."
                )
            self.known[name] = torch.from_numpy(mask)
        return torch.from_numpy(crop_or_pad(self.known[name].numpy(), shape, False))
