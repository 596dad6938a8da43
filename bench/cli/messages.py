"""One line for any error."""

import errno
import re
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from bench.config.composition import compose
from bench.config.groups import GROUPS, IN_WHEEL, installing, options
from bench.config.identity import CONDITIONING
from bench.errors import BenchError, CacheUnwritable, Unwritable, own_cause, place_of
from bench.store.escaping import for_terminal

FULL_ERROR = "HYDRA_FULL_ERROR"  # 1 shows tracebacks
CANNOT_WRITE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EIO,
}
CALLED_OTHERWISE = {  # settings by what other programs call them
    **dict.fromkeys(("device", "accelerator", "cuda"), "trainer.accelerator"),
    **dict.fromkeys(("gpus", "gpu", "num_gpus", "devices"), "trainer.devices"),
    **dict.fromkeys(("epochs", "iterations", "max_steps", "num_steps", "steps"), "trainer.steps"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "trainer.batch_size"),
    **dict.fromkeys(("learning_rate", "lr"), "trainer.lr"),
    **dict.fromkeys(("weight", "lambda", "lam", "lmbda"), "regularizer.weight"),
    **dict.fromkeys(("data", "data_dir", "data_root", "root"), "dataset.root"),
    **dict.fromkeys(("out", "output", "output_dir", "results"), "results_dir"),
}
CLASSES = ("dataset", "metric", "regularizer", "model")  # groups whose keys are arguments
OPEN = ("dataset.intensity", "dataset.augmentation")  # which have further keys than they set
NO_CHOICE = "Free space or permit writing."
UNMERGED = re.compile(  # what Hydra says of a list for a section, and of a section for a list
    r"Error merging override (.*)\n\s*Cannot merge DictConfig with ListConfig"
)
PLUGINS = {
    "joblib": "local",
    "submitit_slurm": "slurm",
    "submitit_local": "slurm",
    "ray": "ray",
}  # by the names of the plugins, the extra that installs each launcher


def explain(error: Exception, choice: str | None = None) -> str:
    """One line for any error, with its names escaped.

    Args:
        error: Any.
        choice: What the command lets its user choose where it cannot write; empty for nothing;
            None for a command of runs, which choose their folder by results_dir and continue.
    """
    return for_terminal(re.sub(r"\s*[\r\n]\s*", " ", _explained(error, choice)).strip())


def _explained(error: Exception, choice: str | None) -> str:
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return explain_missing(error)
    if isinstance(error.__cause__, ConfigKeyError | ConfigAttributeError):
        return explain_unknown(error.__cause__)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return str(own_cause(error) or explain_unmerged(error) or _one_line(error))
    if isinstance(error, OSError) and (
        error.errno in CANNOT_WRITE or isinstance(error, Unwritable)
    ):
        return explain_unwritable(error, choice)
    if isinstance(error, IsADirectoryError):
        place = error.filename2 or error.filename  # the second one is what was to be replaced
        return (
            f"{place}: is a folder where a file belongs. Move it away, then run the same command "
            "again."
        )
    said = f"{type(error).__name__}: {_one_line(error)}"
    return f"{said} ({place_of(error)}; HYDRA_FULL_ERROR=1 shows the traceback)"


def explain_missing(error: MissingConfigException) -> str:
    """One line for a configuration that does not exist."""
    group, _, option = (error.missing_cfg_file or "").partition("/")
    if group in GROUPS and option:
        file = f"Add conf/{group}/{option}.yaml"
        if IN_WHEEL:
            file = (
                f"Write /my/conf/{group}/{option}.yaml and pass hydra.searchpath=[file:///my/conf]"
            )
        line = f"Unknown {group} {option!r}. Known: {', '.join(options(group))}. {file}"
        return line + (" or pass metric._target_=CLASS." if group == "metric" else ".")
    if group == "experiment" and option:
        return f"Unknown experiment {option!r}. Known: {', '.join(options(group))}."
    if group == "hydra" and option.startswith("launcher/"):
        extra = PLUGINS.get(option.removeprefix("launcher/"))
        if extra is not None:
            return (
                f"hydra/launcher={extra}: its plugin is not installed. To install it, run "
                f"`{installing(extra)}`."
            )
    return _one_line(error)


def explain_unknown(error: ConfigKeyError | ConfigAttributeError) -> str:
    """One line for a setting that does not exist."""
    name = str(error.full_key)
    section = name.rpartition(".")[0]
    known = ", ".join(sorted(str(key) for key in error.parent_node or ()))
    places = _places(name) if not section else []
    if places:
        return f"Unknown {name}. Did you mean {' or '.join(f'{place}=VALUE' for place in places)}?"
    if section == "model" and name.removeprefix("model.") in CONDITIONING:
        return f"{name}: this model cannot take λ. Choose model=pyramid or model=voxelmorph."
    if not known:
        return f"Unknown {name}. {section} has no keys."
    line = f"Unknown {name}. Known{f' in {section}' if section else ''}: {known}."
    if section in CLASSES:
        line += f" +{name}=VALUE passes an argument to your class."
    if section in OPEN:
        line += f" +{name}=VALUE adds it, if docs/data.md names it."
    return line


def _places(name: str) -> list[str]:
    """Settings that a name without its section may mean."""
    meant = CALLED_OTHERWISE.get(name.lower().replace("-", "_"))
    if meant is not None:
        return [meant]
    config = compose([])
    sections = ((group, config[group]) for group in GROUPS)
    return [f"{group}.{name}" for group, section in sections if name in section]


def explain_unmerged(error: Exception) -> str:
    """One line for a list in the place of a section, or a section in that of a list; else none."""
    found = UNMERGED.search(_one_line(error))
    if found is None:
        return ""
    override = found[1]
    forms = ["a section {KEY: VALUE}", "a list [VALUE, ...]"]
    right, given = forms if override.partition("=")[2].startswith("[") else reversed(forms)
    return f"{override}: must be {right}, not {given}."


def explain_unwritable(error: OSError, choice: str | None) -> str:
    """One line for a folder or disk that cannot be written."""
    continues = choice is None
    if isinstance(error, CacheUnwritable):
        choice = "another folder with dataset.cache=DIR"
    elif choice is None:
        choice = "another folder with results_dir=DIR"
    if error.errno in (errno.EEXIST, errno.ENOTDIR) and error.filename:
        path = Path(error.filename)
        file = next((place for place in (path, *path.parents) if place.is_file()), None)
        if file is not None:
            return (
                f"Cannot write {path}: {file} is a file where a folder belongs. "
                f"{f'Choose {choice}' if choice else 'Move it away'}."
            )
    remedy = f"Free space, permit writing, or choose {choice}." if choice else NO_CHOICE
    return f"Cannot write {error.filename or 'results'}: {error.strerror}. {remedy}" + (
        " Finished runs are safe; the same command continues from the last saved state."
        if continues
        else ""
    )


def _one_line(error: Exception) -> str:
    lines = [str(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.append(str(error.__cause__))
    return "\n".join(lines)
