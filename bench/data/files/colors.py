"""Colours of pixels: transparency, grey values, stains, and the label ids of colours."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.config.overrides import quoted
from bench.errors import ConfigError, DataError

Color = tuple[int, int, int]
CHOICES = ("grey", "hed")
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
# Absorption of red, green and blue by haematoxylin, eosin and DAB: Ruifrok & Johnston,
# "Quantification of histochemical staining by color deconvolution", 2001.
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
DARKEST = 1e-6  # share of the light that passes at least


def without_alpha(channels: np.ndarray, path: Path) -> np.ndarray:
    """Grey (1, *S) or colour (3, *S) of grey or colour with or without transparency.

    It drops transparency that is the same everywhere, and turns colours that are all grey into grey
    values.

    Args:
        channels: (1 to 4, *S): grey, grey and alpha, RGB, or RGB and alpha.
        path: Names the file in messages.

    Raises:
        DataError: If transparency varies, which leaves the value of a pixel unclear.
    """
    if len(channels) in (2, 4):
        alpha = channels[-1]
        if (alpha != alpha.flat[0]).any():
            raise DataError(
                f"{path}: has an alpha channel with varying transparency. Flatten it onto a "
                "background and save it without alpha."
            )
        channels = channels[:-1]
    return channels[:1] if (channels == channels[:1]).all() else channels


def converted(channels: np.ndarray, choice: str, where: str) -> np.ndarray:
    """One channel (1, *S) of colours.

    Args:
        channels: (3, *S) red, green, blue; one channel stays as it is for `grey`.
        choice: `grey`, the luminance, rounded to the type of whole numbers; or `hed`, how much
            haematoxylin the pixels hold, float32, 0 for white.
        where: Names the file in messages.

    Raises:
        DataError: If there are other than three channels.
    """
    if choice == "grey" and len(channels) == 1:
        return channels
    if len(channels) != 3:
        raise DataError(
            f"{where}: has {len(channels)} channel(s), but dataset.color={choice} needs red, green "
            "and blue. Set dataset.color=null, or remove the subject from the list."
        )
    if choice == "grey":
        grey = np.tensordot(np.array(LUMINANCE), channels.astype(np.float64), 1)[None]
        return np.rint(grey).astype(channels.dtype) if channels.dtype.kind in "ui" else grey
    return haematoxylin(channels)[None]


def haematoxylin(channels: np.ndarray) -> np.ndarray:
    """Amount of haematoxylin, as scikit-image's `rgb2hed` scales it.

    Args:
        channels: (3, *S); whole numbers are shares of their type's largest, floats of 1.

    Returns:
        (*S) float32, at least 0.
    """
    top = np.iinfo(channels.dtype).max if channels.dtype.kind in "ui" else 1
    light = np.maximum(channels / top, DARKEST)
    amounts = np.linalg.inv(np.array(STAINS)).T @ (np.log(light) / np.log(DARKEST)).reshape(3, -1)
    return np.maximum(amounts[0], 0).reshape(channels.shape[1:]).astype(np.float32)


def check_choice(choice: str | None) -> None:
    """Raises ConfigError unless `dataset.color` is one of `CHOICES` or None."""
    if choice is not None and choice not in CHOICES:
        raise ConfigError(
            f"dataset.color={quoted(choice)}: must be null (keeps channels), "
            f"or {', '.join(CHOICES)}."
        )


def ids_of_colors(values: np.ndarray, path: Path, colors: Mapping[Color, int] | None) -> np.ndarray:
    """Label ids (*S) of colours (*S, 3).

    Raises:
        DataError: If `colors` lacks a colour.
    """
    if not colors:
        raise DataError(
            f"{path}: holds colours, but labels must be ids. Map each colour to an id in "
            "dataset.colors, or convert the file."
        )
    code = np.array([1 << 32, 1 << 16, 1])
    found, places = np.unique(values.astype(np.int64) @ code, return_inverse=True)
    known = {int(np.dot(color, code)): i for color, i in colors.items()}
    unknown = [value for value in found.tolist() if value not in known]
    if unknown:
        color = tuple(unknown[0] >> shift & 65535 for shift in (32, 16, 0))
        raise DataError(
            f"{path}: colour {color} is not in dataset.colors. Add the colour with its label id, "
            "or correct the file."
        )
    return np.array([known[value] for value in found.tolist()])[places].reshape(values.shape[:-1])
