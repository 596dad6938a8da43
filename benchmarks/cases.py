"""What is measured: each costly part our way, the straightforward way, and MONAI's."""

from collections.abc import Callable, Iterator

import monai.losses
import monai.networks.blocks
import plain
import torch
from measure import Action
from torch import Tensor, nn

from bench.extractors.frozen import Extractor
from bench.extractors.segmenter import Segmenter
from bench.models import VoxelMorph
from bench.models.layout import to_channels_last
from bench.regularizers import Diffusion
from bench.similarity import MIND, NCC, NMI, DeepSim, Pair
from bench.similarity.deepsim import mean_cosine
from bench.spatial.displacement import warp

SIZES = {
    "160x192x16": (1, (160, 192, 16)),
    "80x96x112": (1, (80, 96, 112)),
    "5x512x688": (5, (512, 688)),
}
GPU_SIZES = {"160x192x224": (1, (160, 192, 224))}
CHANNELS = (16, 32, 64)


def cases(device: str) -> Iterator[tuple[str, Callable[[], dict[str, Action]]]]:
    """Name of each case, and what makes its actions by name: ours, straightforward, MONAI."""
    for size, (batch, shape) in (SIZES | (GPU_SIZES if device == "cuda" else {})).items():
        for name, make in MAKERS.items():
            yield f"{name} {size}", lambda m=make, b=batch, s=shape: m(b, s, device)


class Given(Pair):
    """A pair whose warped image is given."""

    def __init__(self, warped: Tensor, fixed: Tensor) -> None:
        super().__init__(warped, fixed, fixed)
        self.__dict__["warped"] = warped


def images(batch: int, shape: tuple[int, ...], device: str) -> tuple[Tensor, Tensor]:
    """Two smooth images of [0, 1] with noise, the first with a gradient."""
    generator = torch.Generator().manual_seed(0)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    found = []
    for _ in range(2):
        coarse = torch.rand(batch, 1, *[max(2, s // 8) for s in shape], generator=generator)
        smooth = nn.functional.interpolate(coarse, size=shape, mode=mode)
        noise = torch.rand(smooth.shape, generator=generator)
        found.append((0.9 * smooth + 0.1 * noise).to(device))
    return found[0].requires_grad_(), found[1]


def backward(formula: Callable[..., Tensor], *inputs: Tensor) -> Action:
    """Forward and backward pass, gradients not added up."""
    with_gradient = [x for x in inputs if x.requires_grad]
    return lambda: torch.autograd.grad(formula(*inputs), with_gradient)


def ncc(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """Local NCC, window 9; straightforward: dense as published, and separable."""
    pair = images(batch, shape, device)
    peer = monai.losses.LocalNormalizedCrossCorrelationLoss(
        spatial_dims=len(shape), kernel_size=9, kernel_type="rectangular"
    )
    return {
        "ours": backward(lambda a, b: NCC()(Given(a, b)), *pair),
        "straightforward": backward(plain.separable_ncc, *pair),
        "straightforward, dense": backward(plain.ncc, *pair),
        "MONAI": backward(peer, *pair),
    }


def nmi(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """Normalized mutual information, 64 bins, all voxels; MONAI: mutual information."""
    pair = images(batch, shape, device)
    peer = monai.losses.GlobalMutualInformationLoss(num_bins=64).to(device)
    return {
        "ours": backward(lambda a, b: NMI()(Given(a, b)), *pair),
        "straightforward": backward(plain.nmi, *pair),
        "MONAI": backward(peer, *pair),
    }


def mind(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """MIND-SSC, radius and dilation 2."""
    pair = images(batch, shape, device)
    return {
        "ours": backward(lambda a, b: MIND()(Given(a, b)), *pair),
        "straightforward": backward(plain.mind, *pair),
    }


def cosine(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """Mean cosine of 32 features at half the size, bfloat16."""
    half = [s // 2 for s in shape]
    layout = torch.channels_last if len(shape) == 2 else torch.channels_last_3d
    maps = [
        torch.rand(batch, 32, *half, device=device).bfloat16().contiguous(memory_format=layout)
        for _ in range(2)
    ]
    maps[0].requires_grad_()
    return {"ours": backward(mean_cosine, *maps), "straightforward": backward(plain.cosine, *maps)}


def deepsim(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """DeepSim; straightforward: the cosine by automatic differentiation."""
    warped, fixed = images(batch, shape, device)
    extractor = make_extractor(shape, device)

    metric = DeepSim(extractor)

    def straightforward(image: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = extractor(fixed)
        return plain.deepsim(extractor(image), theirs)

    return {
        "ours": backward(lambda image: metric(Given(image, fixed)), warped),
        "straightforward": backward(straightforward, warped),
    }


def make_extractor(shape: tuple[int, ...], device: str) -> Extractor:
    """An untrained segmenter's features, in bfloat16."""
    network = Segmenter(len(shape), 1, 4, CHANNELS, norm=False, dropout=False).to(device)
    return Extractor(network, torch.bfloat16)


def spatial_warp(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """Linear warp of an image, gradient in the displacement."""
    _, image = images(batch, shape, device)
    u = torch.randn(batch, len(shape), *shape, device=device, requires_grad=True)
    peer = monai.networks.blocks.Warp(mode="bilinear", padding_mode="border").to(device)
    return {
        "ours": backward(lambda v: warp(image, v).sum(), u),
        "straightforward": backward(lambda v: plain.warp(image, v).sum(), u),
        "MONAI": backward(lambda v: peer(image, v).sum(), u),
    }


def diffusion(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """The diffusion regularizer; MONAI: central differences."""
    u = torch.randn(batch, len(shape), *shape, device=device, requires_grad=True)
    return {
        "ours": backward(Diffusion(), u),
        "straightforward": backward(plain.diffusion, u),
        "MONAI": backward(monai.losses.DiffusionLoss(), u),
    }


def network_step(batch: int, shape: tuple[int, ...], device: str) -> dict[str, Action]:
    """A training step with NCC: bfloat16, channels-last; straightforward: contiguous float32."""
    return {
        "ours": training_step(batch, shape, device, torch.bfloat16, True, NCC()),
        "straightforward": training_step(batch, shape, device, torch.float32, False, NCC()),
    }


def training_step(
    batch: int,
    shape: tuple[int, ...],
    device: str,
    dtype: torch.dtype,
    channels_last: bool,
    metric: Callable[[Pair], Tensor],
) -> Action:
    """Forward pass, loss, backward pass and optimizer step."""
    network = make_network(shape, device, channels_last)
    optimizer = torch.optim.Adam(network.parameters())
    moving, fixed = (image.detach() for image in images(batch, shape, device))
    regularizer = Diffusion()

    def step() -> None:
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            u = network(moving, fixed)
        u = u.float()
        (metric(Pair(moving, fixed, u)) + regularizer(u)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def make_network(shape: tuple[int, ...], device: str, channels_last: bool = True) -> VoxelMorph:
    """A registration network of the benchmarks."""
    network = VoxelMorph(len(shape), 1, channels=CHANNELS, norm=False, dropout=False).to(device)
    if channels_last:
        to_channels_last(network)
    return network


MAKERS = {
    "ncc": ncc,
    "nmi": nmi,
    "mind": mind,
    "cosine": cosine,
    "deepsim": deepsim,
    "warp": spatial_warp,
    "diffusion": diffusion,
    "step ncc": network_step,
}
