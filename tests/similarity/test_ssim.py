"""SSIM against MONAI's metric."""

import pytest
import torch
from monai.metrics import SSIMMetric

from bench.errors import ConfigError, Unsupported
from bench.similarity import SSIM, Pair


def images(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    fixed = torch.rand(2, 1, *shape, generator=random)
    return fixed + 0.2 * torch.rand(2, 1, *shape, generator=random), fixed


@pytest.mark.parametrize(("shape", "window"), [((17, 22), 7), ((17, 22), 11), ((9, 8, 10), 7)])
def test_is_1_less_monais(shape: tuple[int, ...], window: int) -> None:
    moving, fixed = images(*shape)
    fixed[1] *= 3  # another range
    found = SSIM(window).each(Pair(moving, fixed))
    for i in range(2):
        span = float(fixed[i].max() - fixed[i].min())
        metric = SSIMMetric(len(shape), data_range=span, win_size=window)
        expected = 1 - metric(moving[i : i + 1], fixed[i : i + 1]).item()
        assert found[i].item() == pytest.approx(expected, abs=1e-5)
    assert SSIM(window)(Pair(moving, fixed)).item() == pytest.approx(found.mean().item())


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^metric.window=4: must be an odd whole number"):
        SSIM(4)
    with pytest.raises(Unsupported, match="SSIM's window=11 is larger than the images"):
        SSIM(11)(Pair(*images(9, 20)))
