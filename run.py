"""Runs one experiment, or with -m a sweep: see `python run.py --help`."""

import hydra
from omegaconf import DictConfig

from bench.cli.app import launch, run_job


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    run_job(config)


if __name__ == "__main__":
    launch(main)
