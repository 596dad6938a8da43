"""A training step in the way of the published code, written anew: what ours is measured against.

Contiguous float32 without autocast; activations never in place, maps concatenated; images and
labels are decoded from their files for each sample; labels are one-hot and warped with gradient
whatever the metric; local NCC by dense window convolutions; the fixed image's features are computed
in each step; Dice and folding are computed from each training batch, and the loss is fetched from
the device.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel
import numpy as np
import plain
import tifffile
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models import VoxelMorph
from bench.models.convolution import double

Similarity = Callable[[Tensor, Tensor], Tensor]


class Baseline:
    """Training steps of one network.

    Args:
        network: The registration network, float32.
        similarity: Of warped and fixed image.
        weight: λ.
        files: Image and labels of each subject.
        pairs: Numbers of moving and fixed subject of the pairs to go through.
        batch_size: Pairs in a step.
        classes: Number of classes.
        device: Where to compute.
    """

    def __init__(
        self,
        network: VoxelMorph,
        similarity: Similarity,
        weight: float,
        files: Sequence[tuple[Path, Path]],
        pairs: Sequence[tuple[int, int]],
        batch_size: int,
        classes: int,
        device: str,
    ) -> None:
        self.network = network.to(device)
        plain_activations(network)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
        self.similarity = similarity
        self.weight = weight
        self.files = files
        self.pairs = pairs
        self.batch_size = batch_size
        self.classes = classes
        self.device = device
        self.steps = 0

    def __call__(self) -> dict[str, float]:
        """One step; its loss, Dice and folding."""
        first = self.steps * self.batch_size
        chosen = [self.pairs[n % len(self.pairs)] for n in range(first, first + self.batch_size)]
        moving, fixed = zip(*chosen, strict=True)
        moving_image, moving_labels = self._read(moving)
        fixed_image, fixed_labels = self._read(fixed)
        self.network.train()
        u = self._displacement(moving_image, fixed_image)
        warped = plain.warp(moving_image, u)
        warped_labels = plain.warp(moving_labels, u)
        loss = self.similarity(warped, fixed_image) + self.weight * plain.diffusion(u)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return {
            "loss": loss.item(),
            "dice": plain.hard_dice(warped_labels, fixed_labels).item(),
            "folding": plain.folding(u.detach()).item(),
        }

    def _displacement(self, moving: Tensor, fixed: Tensor) -> Tensor:
        backbone, head = self.network.network.backbone, self.network.network.head
        x = torch.cat([moving, fixed], dim=1)
        stages = backbone.encoder(x)
        skips = [x, *stages[:-1]]
        x = stages[-1]
        for stage in backbone.decoder:
            x = torch.cat([double(nn.Sequential.forward(stage, x)), skips.pop()], dim=1)
        return nn.Sequential.forward(head, x)

    def _read(self, subjects: Sequence[int]) -> tuple[Tensor, Tensor]:
        images, labels = [], []
        for subject in subjects:
            image, label = (decode(path) for path in self.files[subject])
            images.append(torch.from_numpy(image.astype(np.float32)))
            one_hot = F.one_hot(torch.from_numpy(label.astype(np.int64)), self.classes)
            labels.append(one_hot.movedim(-1, 0).float())
        return torch.stack(images)[:, None].to(self.device), torch.stack(labels).to(self.device)


def plain_activations(network: nn.Module) -> None:
    """Lets activations keep their inputs."""
    for layer in network.modules():
        if isinstance(layer, nn.LeakyReLU):
            layer.inplace = False


def decode(path: Path) -> np.ndarray:
    """An image from its file."""
    if path.suffix == ".tif":
        return tifffile.imread(path)
    return np.asarray(nibabel.load(path).dataobj)
