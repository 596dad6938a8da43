"""One line for whatever goes wrong."""

import errno
import re

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from bench.config.groups import GROUPS, options
from bench.errors import BenchError, own_cause
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
CLASSES = ("dataset", "metric", "regularizer", "model")  # groups whose keys are arguments
PLUGINS = {
    "joblib": "local",
    "submitit_slurm": "slurm",
    "submitit_local": "slurm",
    "ray": "ray",
}  # by the names of the plugins, the extra that installs each launcher


def explain(error: Exception) -> str:
    """One line for any error, whatever names are in it."""
    return for_terminal(re.sub(r"\s*[\r\n]\s*", " ", _explained(error)).strip())


def _explained(error: Exception) -> str:
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return explain_missing(error)
    if isinstance(error.__cause__, ConfigKeyError | ConfigAttributeError):
        return explain_unknown(error.__cause__)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return str(own_cause(error) or _one_line(error))
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return explain_unwritable(error)
    return f"{type(error).__name__}: {_one_line(error)} (HYDRA_FULL_ERROR=1 shows the traceback)"


def explain_missing(error: MissingConfigException) -> str:
    """One line for a configuration that does not exist."""
    group, _, option = (error.missing_cfg_file or "").partition("/")
    if group in GROUPS and option:
        line = (
            f"Unknown {group} {option!r}. Known: {', '.join(options(group))}. "
            f"Add conf/{group}/{option}.yaml"
        )
        return line + (" or pass metric._target_=CLASS." if group == "metric" else ".")
    if group == "hydra" and option.startswith("launcher/"):
        extra = PLUGINS.get(option.removeprefix("launcher/"))
        if extra is not None:
            return (
                f"hydra/launcher={extra}: its plugin is not installed. "
                f"pip install 'registration-bench[{extra}]' gets it."
            )
    return _one_line(error)


def explain_unknown(error: ConfigKeyError | ConfigAttributeError) -> str:
    """One line for a setting that does not exist."""
    name = str(error.full_key)
    section = name.rpartition(".")[0]
    known = ", ".join(sorted(str(key) for key in error.parent_node or ()))
    line = f"Unknown {name}. Known{f' in {section}' if section else ''}: {known}."
    if section in CLASSES:
        line += f" +{name}=VALUE adds an argument for your class."
    return line


def explain_unwritable(error: OSError) -> str:
    """One line for a folder or disk that cannot be written."""
    return (
        f"Cannot write {error.filename or 'results'}: {error.strerror}. Free space or permit "
        "writing, or choose another folder with results_dir=DIR. Finished runs are safe; the "
        "same command goes on from the last saved state."
    )


def _one_line(error: Exception) -> str:
    lines = [str(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.append(str(error.__cause__))
    return "\n".join(lines)
