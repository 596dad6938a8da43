"""A store of runs that never happened, with scores as planted."""

import csv
import json

import numpy as np
import yaml

from bench.config.identity import SCHEMA, digest
from bench.scores.registry import SCORES

CLASSES = ["background", "large", "small", "ghost"]


def config(dataset="demo", metric="ncc", weight=1.0, seed=0, **trainer):
    return {
        "dataset": {
            "name": dataset,
            "root": "/data",
            "cache": None,
            "pairs": {"train": "cross", "test": "next"},
            "augmentation": {"flip": True},
            "intensity": {"policy": "quantile"},
        },
        "metric": {"name": metric, "_target_": f"bench.similarity.{metric}"},
        "regularizer": {"name": "diffusion", "scale": 1, "weight": weight},
        "model": {"name": "voxelmorph", "channels": [8, 16]},
        "trainer": {"name": "short", "steps": 100, "lr": 1e-4, **trainer},
        "tracker": {"name": "none"},
        "seed": seed,
        "force": False,
        "results_dir": "results",
    }


def write_run(results, settings, dice, val_dice=0.5, val_loss=0.2, folding=0.001, **more):
    """Writes a finished run.

    Args:
        results: Folder of the store.
        settings: From `config`.
        dice: Dice of each test pair.
        val_dice: Validation Dice.
        val_loss: Validation loss without the regularizer.
        folding: Folding on validation and test pairs.
        more: `schema`, `data`, `variant`, `moving`, `fixed`, `classes`, `extractors`,
            `network`, `training_seconds`, and scores per test pair.

    Returns:
        The run's folder.
    """
    dice = np.asarray(dice, dtype=float)
    folder, header = start_run(results, settings, more.get("variant", "v"))
    n = len(dice)
    moving = more.get("moving", [f"{i:03d}" for i in range(n)])
    fixed = more.get("fixed", [f"{i:03d}" for i in range(n, 2 * n)])
    after = {name: np.full(n, 0.1) for name in SCORES}
    after |= {"dice": dice, "dice_published": dice, "folding": np.full(n, folding)}
    after |= {name: np.asarray(more[name]) for name in SCORES if name in more}
    before = {f"{name}_before": np.full(n, 0.0) for name in SCORES}
    before |= {"dice_before": np.full(n, 0.3), "hd95_before": np.full(n, 5.0)}
    pairs = [
        {"moving": moving[i], "fixed": fixed[i]}
        | {name: values[i] for name, values in (after | before).items()}
        for i in range(n)
    ]
    write_rows(folder / "pairs.csv", pairs)
    shares = {"large": 0.05, "small": -0.05, "ghost": np.nan}
    rows = [
        {"moving": moving[i], "fixed": fixed[i], "class": name}
        | {"dice": dice[i] + share, "hd95": 1, "dice_before": 0.3 + share, "hd95_before": 5}
        for i in range(n)
        for name, share in shares.items()
    ]
    write_rows(folder / "classes.csv", rows)
    history = [
        {"step": step, "train_loss": 1 / step, "val_loss": 1.1 / step}
        | {"val_dice": val_dice * (1 - 1 / step), "seconds": 2.0 * step}
        for step in (10, 20, 50, 100)
    ]
    trained = "trainer" in settings["model"].get("uses", ["trainer"])
    if trained:
        write_rows(folder / "history.csv", history)
    validation = {"dice": val_dice, "similarity": val_loss, "folding": folding, "loss": val_loss}
    others = len(list(folder.parent.iterdir()))  # no two trainings take equally long
    seconds = more.get("training_seconds", 200 + others / 1e6)
    summary = {
        "schema": more.get("schema", SCHEMA),
        "status": "finished",
        **header,
        "steps": 100 if trained else None,
        "best_step": 100 if trained else None,
        "scores": {name: summarize(values) for name, values in after.items()},
        "scores_before": {n.removesuffix("_before"): summarize(v) for n, v in before.items()},
        "validation": validation,
        **({"network": more["network"]} if "network" in more else {"training_seconds": seconds}),
        "data": more.get("data", "f" * 64),
        "classes": CLASSES,
        "extractors": more.get("extractors", []),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def start_run(results, settings, variant="v"):
    """Writes what an unfinished run has; returns its folder and header."""
    names = {group: settings[group]["name"] for group in ("dataset", "metric", "model")}
    weight, seed = settings["regularizer"]["weight"], settings["seed"]
    name = f"{names['dataset']}-{names['metric']}-{weight:g}-seed{seed}-{variant}"
    uses = settings["model"].get("uses", ["metric", "regularizer", "trainer"])
    names["metric"] = names["metric"] if "metric" in uses else None
    weight = weight if "regularizer" in uses else None
    folder = results / "runs" / name
    folder.mkdir(parents=True)
    header = {"id": digest(name), "variant": variant, **names}
    header |= {"regularizer": "diffusion", "weight": weight, "seed": seed}
    (folder / "run.json").write_text(json.dumps(header))
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "device": "none"}))
    return folder, header


def fail_run(results, settings, status="failed", error="loss is not finite", variant="v"):
    folder, _ = start_run(results, settings, variant)
    (folder / "failure.json").write_text(json.dumps({"status": status, "error": error}))
    return folder


def write_rows(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def summarize(values):
    known = values[np.isfinite(values)]
    std = float(known.std(ddof=1)) if len(known) > 1 else None
    mean = float(known.mean()) if len(known) else None
    return {"mean": mean, "std": std, "n": len(known)}
