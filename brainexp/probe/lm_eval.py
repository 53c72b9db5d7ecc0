"""Tasks of EleutherAI's lm-evaluation-harness, asked of the same compressed weights."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from brainexp.cache import digest
from brainexp.errors import ConfigError, DataError, ModelError
from brainexp.interfaces import ProbeInput, ProbeResult
from brainexp.progress import counter
from brainexp.registry import PROBES, did_you_mean

#: Raise when scores of the same options change.
PROBE_VERSION = 1
#: Files beside the tasks' YAMLs that may decide what is asked.
DECISIVE = (".yaml", ".yml", ".json", ".jsonl", ".py", ".csv", ".txt", ".parquet")
#: More tasks than this are not listed where one is not known.
MOST_LISTED = 50


@PROBES.register("lm_eval")
@dataclass(frozen=True)
class LmEval:
    """Scores of any task that the harness knows, with the network handed to it as it is in memory.

    Gao et al. (2024). The language model evaluation harness, doi:10.5281/zenodo.12608602. Tasks run in the harness, with its
    seeds; nothing of them is rewritten.

    Parameters
    ----------
    tasks : tuple of str
        Names of tasks or of groups of tasks.
    include_path : str or None
        A folder with YAML files of further tasks. Where their data is local, no network is needed, and the harness' own
        tasks, which take seconds to be listed, are looked at only if one of them is asked for.
    batch_size : int
        Requests in one pass.
    limit : int or None
        Samples of each task, from its beginning; None for all.
    num_fewshot : int or None
        Examples before each question; None for as many as the task says.
    """

    needs_gradients: ClassVar[bool] = False

    tasks: tuple[str, ...] = ()
    include_path: str | None = None
    batch_size: int = 8
    limit: int | None = None
    num_fewshot: int | None = None

    def __post_init__(self) -> None:
        for option, least in (("batch_size", 1), ("limit", 1), ("num_fewshot", 0)):
            value = getattr(self, option)
            if value is not None and value < least:
                raise ConfigError(f"probe 'lm_eval': {option} must be at least {least}, got {value}")

    def require_ready(self) -> None:
        """Raise ConfigError or DataError if the harness, the folder or a task is not there."""
        if find_spec("lm_eval") is None:
            raise ConfigError("probe 'lm_eval' needs the harness: pip install brainexp[eval]")
        if not self.tasks:
            raise ConfigError(
                "probe 'lm_eval': tasks names none. Give some, such as probe.lm_eval.tasks=[lambada_openai]"
            )
        if self.include_path is not None and not self._folder().is_dir():
            raise DataError(
                f"probe 'lm_eval': include_path={self.include_path!r} is no folder. Correct it, or give null."
            )
        known = set(self._manager().all_tasks)
        for name in self.tasks:
            if name not in known:
                offered = known if len(known) <= MOST_LISTED else {one for one in known if one[:3] == name[:3]}
                raise ConfigError(f"probe 'lm_eval': unknown task {name!r}.{did_you_mean(name, offered)}")

    def measure(self, given: ProbeInput) -> ProbeResult:
        """Ask task by task; finished ones are not asked again.

        Raises
        ------
        DataError
            If a task's data is neither local nor to be fetched.
        ModelError
            If the harness cannot ask such a model.
        """
        import pandas as pd

        self.require_ready()
        rows: list[dict[str, Any]] = []
        with counter(len(self.tasks), "tasks") as bar:
            for name in self.tasks:
                bar.set_description(f"lm-eval {name}")
                rows += given.kept(self._key(name), partial(self._asked, name, given))
                bar.update(1)
        table = pd.DataFrame(rows, columns=["task", "metric", "filter", "value", "n_samples", "version"])
        metrics = {
            "_".join([row["task"], row["metric"], *([] if row["filter"] == "none" else [row["filter"]])]): row["value"]
            for row in rows
        }
        return ProbeResult(metrics=metrics, tables={"results": table})

    def _asked(self, name: str, given: ProbeInput) -> list[dict[str, Any]]:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        model = given.language_model()
        if model.reads not in ("causal", "encoder-decoder"):
            raise ModelError(
                "probe 'lm_eval' asks causal models and encoder–decoders, not masked ones. Leave it out, or ask "
                "minimal_pairs."
            )
        reader = HFLM(
            pretrained=model.network,
            tokenizer=deepcopy(model.tokenizer),  # the harness gives it a padding token
            backend="causal" if model.reads == "causal" else "seq2seq",
            batch_size=self.batch_size,
        )
        try:
            found = simple_evaluate(
                model=reader,
                tasks=[name],
                num_fewshot=self.num_fewshot,
                limit=self.limit,
                task_manager=self._manager(),
                bootstrap_iters=0,
                log_samples=False,
            )
        except OSError as error:
            raise DataError(
                f"probe 'lm_eval': the data of task {name!r} is not here and cannot be fetched ({error}). Connect to a "
                "network once, or give include_path= a folder whose YAML files name local data."
            ) from error
        return _rows(found)

    def _manager(self) -> Any:
        """Tasks of the folder where they suffice, for listing all of the harness' takes seconds."""
        folder = None if self.include_path is None else str(self._folder())
        if folder is not None:
            local = _listed(folder, False)
            if set(self.tasks) <= set(local.all_tasks):
                return local
        return _listed(folder, True)

    def _key(self, name: str) -> dict[str, Any]:
        files = [] if self.include_path is None else sorted(self._folder().rglob("*"))
        told = [[str(one.relative_to(self._folder())), digest(one.read_bytes().hex())] for one in files
                if one.suffix in DECISIVE and one.is_file()]  # fmt: skip
        options = {"limit": self.limit, "num_fewshot": self.num_fewshot}
        return {"probe": ["lm_eval", PROBE_VERSION, harness_version()], "task": name, "files": told, **options}

    def _folder(self) -> Path:
        assert self.include_path is not None
        return Path(self.include_path).expanduser().absolute()


def harness_version() -> str:
    """Version of the harness, by which results are kept; empty where it is not installed."""
    try:
        return version("lm-eval")
    except PackageNotFoundError:
        return ""


@cache
def _listed(folder: str | None, with_defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=folder, include_defaults=with_defaults)


def _rows(found: Any) -> list[dict[str, Any]]:
    """A row per task (of a group, each), metric and filter."""
    rows = []
    for task, results in found["results"].items():
        asked = found.get("n-samples", {}).get(task, {}).get("effective")
        for key, value in results.items():
            metric, _, which = key.partition(",")
            if which and isinstance(value, int | float) and not metric.endswith("_stderr"):
                about = {"n_samples": asked, "version": str(found.get("versions", {}).get(task, ""))}
                rows.append({"task": task, "metric": metric, "filter": which, "value": float(value), **about})
    return rows
