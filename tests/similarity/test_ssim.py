"""SSIM and MS-SSIM against MONAI's metrics."""

import pytest
import torch
from monai.metrics import MultiScaleSSIMMetric, SSIMMetric

from bench.errors import ConfigError, Unsupported
from bench.similarity import MSSSIM, SSIM, Pair
from bench.similarity.ms_ssim import WEIGHTS


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


@pytest.mark.parametrize(
    ("shape", "window", "scales"), [((120, 131), 7, 4), ((60, 70), 3, 5), ((32, 30, 30), 7, 2)]
)
def test_over_scales_is_1_less_monais(shape: tuple[int, ...], window: int, scales: int) -> None:
    moving, fixed = images(*shape)
    fixed[1] *= 3
    found = MSSSIM(window, scales).each(Pair(moving, fixed))
    count = sum(min(shape) >> scale >= window for scale in range(scales))
    weights = [weight / sum(WEIGHTS[:count]) for weight in WEIGHTS[:count]]
    for i in range(2):
        span = float(fixed[i].max() - fixed[i].min())
        metric = MultiScaleSSIMMetric(
            len(shape), data_range=span, kernel_size=window, weights=weights
        )
        expected = 1 - metric(moving[i : i + 1], fixed[i : i + 1]).item()
        assert found[i].item() == pytest.approx(expected, abs=1e-5)


def test_as_many_scales_as_the_window_fits_into() -> None:
    pair = Pair(*images(16, 40))
    assert MSSSIM(7, 5)(pair) == MSSSIM(7, 2)(pair) != MSSSIM(7, 1)(pair)
    assert MSSSIM(7, 1)(pair).item() == pytest.approx(SSIM(7)(pair).item(), abs=1e-6)


def test_images_that_disagree_have_a_gradient() -> None:
    moving, fixed = images(40, 40)
    moving = (1 - fixed).requires_grad_()
    (gradient,) = torch.autograd.grad(MSSSIM()(Pair(moving, fixed)), moving)
    assert torch.isfinite(gradient).all()


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^metric.window=4: must be an odd whole number"):
        SSIM(4)
    with pytest.raises(Unsupported, match="SSIM's window=11 is larger than the images"):
        SSIM(11)(Pair(*images(9, 20)))
    with pytest.raises(ConfigError, match=r"^metric.window=6: must be an odd whole number"):
        MSSSIM(6)
    with pytest.raises(ConfigError, match=r"^metric.scales=6: must be a whole number from 1 to 5"):
        MSSSIM(7, 6)
    with pytest.raises(Unsupported, match="MS-SSIM's window=11 is larger than the images"):
        MSSSIM(11)(Pair(*images(9, 20)))
