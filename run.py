"""Runs one experiment, or with -m a sweep: see `python run.py --help`."""

import hydra
from omegaconf import DictConfig

from bench.app import launch


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    from bench.experiment import run

    run(config)


if __name__ == "__main__":
    launch(main)
