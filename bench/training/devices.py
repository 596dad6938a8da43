"""Devices and precision."""

import logging
from typing import TYPE_CHECKING

import torch

from bench.config.settings import TrainerSettings
from bench.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def accelerator(settings: TrainerSettings) -> str:
    """`cuda` or `cpu`: what the settings ask for, or the best there is for `auto`.

    Raises:
        ConfigError: If the accelerator asked for is not there, or cannot do what is asked of it.
    """
    kind = _accelerator(settings)
    if settings.compile == "graphs" and kind != "cuda":
        raise ConfigError(
            f"trainer.compile=graphs: needs a CUDA device, but this training runs on {kind}. Use "
            "trainer.compile=true."
        )
    return kind


def _accelerator(settings: TrainerSettings) -> str:
    present = {
        "cuda": torch.cuda.is_available(),
        "cpu": True,
    }
    if settings.accelerator == "auto":
        return next(name for name, there in present.items() if there)
    if not present[settings.accelerator]:
        raise ConfigError(
            f"trainer.accelerator={settings.accelerator}: this machine has none. Available: "
            f"{', '.join(name for name, there in present.items() if there)}."
        )
    return settings.accelerator


def network_precision(settings: TrainerSettings) -> torch.dtype:
    """Precision of the networks: bfloat16 where the settings ask for it or it is fast.

    `auto` takes bfloat16 on NVIDIA devices that compute in it and on processors with AVX-512
    BF16 instructions; losses, warps and scores are float32 in any case.
    """
    if settings.precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.precision]
    kind = accelerator(settings)
    fast = {
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "cpu": torch.cpu._is_avx512_bf16_supported,
    }[kind]()
    return torch.bfloat16 if fast else torch.float32


def make_fabric(settings: TrainerSettings) -> "Fabric":
    """The devices that a training runs on.

    Raises:
        ConfigError: If there are fewer devices than asked for.
    """
    from lightning_fabric import Fabric

    kind = accelerator(settings)
    if kind == "cuda" and settings.devices > torch.cuda.device_count():
        raise ConfigError(
            f"trainer.devices={settings.devices}: this machine has {torch.cuda.device_count()}."
        )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(
        accelerator=kind,
        devices=settings.devices,
        strategy="ddp_spawn" if settings.devices > 1 else "auto",
        precision="bf16-mixed" if network_precision(settings) == torch.bfloat16 else "32-true",
    )


def single_device(settings: TrainerSettings) -> torch.device:
    """The device for everything that is not trained: extractors in use, testing."""
    return torch.device(accelerator(settings))


def device_name(settings: TrainerSettings) -> str:
    """What the device calls itself, for the record."""
    kind = accelerator(settings)
    if kind == "cuda":
        return torch.cuda.get_device_name()
    return _processor()


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith("model name")]
        return lines[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
