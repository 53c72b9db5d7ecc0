"""Stimuli and brain responses: one module per dataset.

A dataset is a frozen dataclass that serves `brainexp.interfaces.Dataset`. One that is read from files (see `deniz2019`):

1. Constants say what a correct copy holds, and ``facts()`` returns them: subjects, TRs by story, voxels by subject, trims,
   the test stories. ``HOW_TO_GET`` is the last sentence of every error. Trims are options, in seconds.
2. `textfile` and `binaryfile` read files or say what is wrong with them: ``require_folder``, ``text_of``, ``json_of``,
   ``list_of``, ``words_of_textgrid``, ``hdf5``, ``npy``, ``nifti``, ``gifti``; `matfile` those of MATLAB, `assembly` those of
   Brain-Score.
3. ``responses(subject)`` returns one `Responses` per story, in the order of ``stimuli()``, large ones with `stored_rows`,
   `stored_voxels` or `stored_vertices`, which read nothing yet; ``require_shape`` holds it against what
   is declared, and tells swapped stories.
4. What is known of triggers, headers and sidecars goes into ``timings()`` (`interfaces.Timed`); single repeats into
   ``repeats(subject)`` (`interfaces.Repeated`); what the user should know into ``remarks()`` (`interfaces.Remarking`).
5. Without TRs, a row per sentence: ``Facts(items=True, tr_s=1)``, unit i from i to i + 1 in a `Clock` from 0, a story per
   group that folds must keep together, ``Stimulus(separate=True)`` where each was presented alone; see `tuckute2024`,
   `pereira2018`.
6. ``subjects.present`` resolves ``subjects: all`` to those on disk. A replica in tests/dataset/replicas.py runs it whole.
"""

from brainexp.dataset import (
    alice,
    alice_ds002322,
    blank2014,
    custom,
    deniz2019,
    harry_potter,
    lebel2023,
    little_prince,
    narratives,
    passage,
    pereira2018,
    synthetic,
    tuckute2024,
)

__all__ = [
    "alice",
    "alice_ds002322",
    "blank2014",
    "custom",
    "deniz2019",
    "harry_potter",
    "lebel2023",
    "little_prince",
    "narratives",
    "passage",
    "pereira2018",
    "synthetic",
    "tuckute2024",
]
