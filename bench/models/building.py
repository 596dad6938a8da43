"""From the section `model` to a method or a network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bench.config.instantiation import build
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.errors import ConfigError
from bench.models.direct import Direct
from bench.models.flow import finish_network
from bench.models.method import Method
from bench.models.refined import Refined
from bench.seeding import derive_seed

OF_THE_SUITE = ("name", "uses", "integrate", "flow_std", "refine", "affine")


def build_model(section: Mapping[str, Any], setup: Setup) -> Any:
    """The method that a section names; a network comes finished, with its initial weights.

    All networks of one seed and data set begin with the same random numbers.

    Raises:
        ConfigError: If it cannot be built, or is neither a network nor a method.
    """
    dataset = setup.dataset
    arguments = {key: value for key, value in section.items() if key not in OF_THE_SUITE}
    torch.manual_seed(derive_seed(setup.experiment.seed, dataset.name, "network"))
    model = build(arguments, "model", ndim=dataset.ndim, image_channels=dataset.channels)
    if isinstance(model, nn.Module):
        if section.get("affine"):
            raise ConfigError(
                f"model.affine={section['affine']}: is for methods that train nothing, and "
                f"model={section['name']} is a network. Leave it out, or align the images before."
            )
        return finish_network(model, section.get("integrate", 0), section.get("flow_std"))
    if not callable(getattr(model, "register", None)):
        raise ConfigError(
            f"model._target_={section['_target_']}: is neither a torch.nn.Module nor has it a "
            "method register(pair, objective). See docs/methods.md."
        )
    for key in ("integrate", "refine"):
        if section.get(key):
            raise ConfigError(
                f"model.{key}={section[key]}: is for networks, and model={section['name']} is "
                "none. Leave it out."
            )
    if hasattr(model, "connect"):
        model.connect(setup)
    if section.get("affine"):
        from bench.models.simpleitk import Affine, AffineFirst

        return AffineFirst(model, Affine(dataset.ndim, dataset.channels))
    return model


def finish_method(method: Method, section: Mapping[str, Any], dataset: PreparedDataset) -> Method:
    """A trained network as its section wants it tested: with direct steps, if it says so.

    Raises:
        ConfigError: If `model.refine` is no number of steps.
    """
    steps = section.get("refine", 0)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ConfigError(f"model.refine={steps}: must be a whole number of steps, or 0 for none.")
    return Refined(method, Direct(dataset.ndim, dataset.channels), steps) if steps else method
