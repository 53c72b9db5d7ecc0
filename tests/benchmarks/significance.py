"""Block permutation: a loop over voxels with numpy's corrcoef, and rows moved for all voxels at once, against ours."""

import numpy as np

from brainexp.score.permutation import BlockOrders, block_permutation_p

N_TRS, N_VOXELS, N_PERMUTATIONS = 300, 64, 1000
#: As many as a study has, and voxels enough to see what memory costs.
ALL_VOXELS, ALL_PERMUTATIONS = 2000, 5000


def block_permutation():
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((N_TRS, N_VOXELS))
    predicted = 0.1 * observed + rng.standard_normal((N_TRS, N_VOXELS))

    def peer():
        drawn = BlockOrders.drawn(N_TRS, N_PERMUTATIONS, 10, np.random.default_rng(1))
        blocks = np.arange(N_TRS).reshape(drawn.n_blocks, -1)
        orders = [
            (blocks[order].ravel() + drawn.starts[phase]) % N_TRS
            for order, phase in zip(drawn.order, drawn.phase, strict=True)
        ]
        p = []
        for voxel in range(N_VOXELS):
            actual = np.corrcoef(observed[:, voxel], predicted[:, voxel])[0, 1]
            null = [np.corrcoef(observed[:, voxel], predicted[order, voxel])[0, 1] for order in orders]
            p.append((np.sum(np.array(null) >= actual - 1e-12) + 1) / (N_PERMUTATIONS + 1))
        return p

    def ours():
        return block_permutation_p([observed], [predicted], N_PERMUTATIONS, 10, np.random.default_rng(1))

    return "1,000 block permutations, 300 TRs × 64 voxels", "corrcoef voxel by voxel", peer, ours


def row_by_row():
    """Against what moves rows and multiplies all voxels at once."""
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((N_TRS, ALL_VOXELS))
    predicted = 0.1 * observed + rng.standard_normal((N_TRS, ALL_VOXELS))

    def peer():
        drawn = BlockOrders.drawn(N_TRS, ALL_PERMUTATIONS, 10, np.random.default_rng(1))
        blocks = np.arange(N_TRS).reshape(drawn.n_blocks, -1)
        target, guess = (
            (one - one.mean(axis=0)) / np.linalg.norm(one - one.mean(axis=0), axis=0) for one in (observed, predicted)
        )
        actual = (target * guess).sum(axis=0)
        at_least = np.zeros(ALL_VOXELS)
        for order, phase in zip(drawn.order, drawn.phase, strict=True):
            rows = (blocks[order].ravel() + drawn.starts[phase]) % N_TRS
            at_least += np.einsum("tv,tv->v", target, guess[rows]) >= actual
        return (at_least + 1) / (ALL_PERMUTATIONS + 1)

    def ours():
        return block_permutation_p([observed], [predicted], ALL_PERMUTATIONS, 10, np.random.default_rng(1))

    return "5,000 block permutations, 300 TRs × 2,000 voxels", "rows moved, voxels together", peer, ours


CASES = (block_permutation, row_by_row)
