"""Probing sets from the grammar, in the layout of the Holmes benchmark.

Each probe is a folder with ``samples.csv`` (columns id, inputs, context, label, set-0) and
``config-none.yaml``. ``inputs`` is a Python literal: a list of sentences, or of tokens as (text, index of
the sentence in the context, first character, character after the last). ``context`` is a list of
sentences, empty for probes of whole sentences. How each task is kept from being guessed by length or
single words stands in `Probe.control` and in its configuration. Labels are exactly balanced inside each
split, to within one sample; the one regression, ``tree-depth``, keeps the skew that depths have in stories.
"""

import csv
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from brainexp.grammar.draws import Draws
from brainexp.grammar.probe import SPLITS, Lottery, Probe, Sample
from brainexp.grammar.probes_form import FORM_PROBES
from brainexp.grammar.probes_meaning import MEANING_PROBES
from brainexp.grammar.probes_reasoning import REASONING_PROBES

#: Raise when sets or their samples change, so that none that were written before are taken for them.
GOLD_VERSION = 2
#: Every probing task, three or more for each competence.
PROBES: tuple[Probe, ...] = (*FORM_PROBES, *MEANING_PROBES, *REASONING_PROBES)
SHARES = {"train": 0.7, "dev": 0.15, "test": 0.15}
FEWEST = 20
ATTEMPTS = 2000


def write_holmes(root: Path, seed: int, n_samples: int, probes: tuple[Probe, ...] = PROBES) -> None:
    """Write every probing set under a new folder.

    Parameters
    ----------
    root : Path
        Folder to make. It appears only when all is written.
    seed : int
        Not negative.
    n_samples : int
        Samples of each probe over its three splits, 20 or more.
    probes : tuple of Probe
        All of them unless fewer are named.

    Raises
    ------
    FileExistsError
        If the folder is there already.
    ValueError
        If the seed is negative, if there are too few samples, or more than a probe has sentences for.
    """
    if root.exists():
        raise FileExistsError(f"{root} exists already. Remove it, or name another folder.")
    if seed < 0 or n_samples < FEWEST:
        raise ValueError(
            f"seed must be 0 or more and n_samples at least {FEWEST}, got seed={seed} and n_samples={n_samples}."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        for probe in probes:
            rng = np.random.default_rng([seed, *probe.name.encode()])  # the same alone as among others
            _write(unfinished / probe.name, probe, samples(probe, rng, n_samples))
        unfinished.chmod(0o755)
        unfinished.rename(root)
    except BaseException:
        shutil.rmtree(unfinished)
        raise


def samples(probe: Probe, rng: np.random.Generator, n_samples: int) -> Iterator[tuple[str, Sample]]:
    """Samples of a probe with their splits; no sentence is in two splits and no sample comes twice.

    Parameters
    ----------
    probe : Probe
    n_samples : int
    rng : np.random.Generator

    Yields
    ------
    split, sample : str, Sample
    """
    draws = Draws(rng)
    home: dict[str, str] = {}
    drawn: set[Sample] = set()
    n_dev = round(n_samples * SHARES["dev"])
    sizes = {"train": n_samples - 2 * n_dev, "dev": n_dev, "test": n_dev}
    for split in SPLITS:
        lottery = Lottery(draws, split)
        for turn in range(sizes[split]):
            sample = _fresh(probe, lottery, turn % probe.num_labels, home, drawn)
            drawn.add(sample)
            home.update(dict.fromkeys(sentences(sample), split))
            yield split, sample


def sentences(sample: Sample) -> list[str]:
    """Single sentences of a sample, those of its context included; the first word of one that is cut off is none."""
    texts = [text for text in (*sample.inputs, *sample.context) if isinstance(text, str)]
    return [sentence.rstrip(".") for text in texts for sentence in text.split(". ") if " " in sentence]


def _fresh(probe: Probe, lottery: Lottery, label: int, home: dict[str, str], drawn: set[Sample]) -> Sample:
    for _ in range(ATTEMPTS):
        sample = probe.draw(lottery, label)
        elsewhere = any(home.get(text, lottery.split) != lottery.split for text in sentences(sample))
        if sample not in drawn and not elsewhere:
            return sample
    raise ValueError(
        f"probe {probe.name!r} found no new sentence for its {lottery.split} split "
        f"after {len(drawn)} samples. Ask for fewer samples."
    )


def _write(folder: Path, probe: Probe, drawn: Iterator[tuple[str, Sample]]) -> None:
    folder.mkdir()
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("id", "inputs", "context", "label", "set-0"))
        for number, (split, sample) in enumerate(drawn):
            row = (number, repr(list(sample.inputs)), repr(list(sample.context)), sample.label, split)
            table.writerow(row)
    lines = (
        f"probe_name: {probe.name}",
        f"probe_task_type: {probe.task_type}",
        "control_task_type: NONE",
        f"num_labels: {probe.num_labels}",
        f"phenomenon: {probe.phenomenon}",
        f"competence: {probe.competence}",
        f'control: "{probe.control}"',
    )
    (folder / "config-none.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
