"""Block permutation of 2,000 voxels: a loop over voxels with numpy's corrcoef against ours."""

import numpy as np

from brainexp.score.permutation import _shuffled_blocks, block_permutation_p

N_TRS, N_VOXELS, N_PERMUTATIONS = 300, 2000, 20


def block_permutation():
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((N_TRS, N_VOXELS))
    predicted = 0.1 * observed + rng.standard_normal((N_TRS, N_VOXELS))

    def peer():
        draws = np.random.default_rng(1)
        orders = [_shuffled_blocks(N_TRS, 10, draws) for _ in range(N_PERMUTATIONS)]
        p = []
        for voxel in range(N_VOXELS):
            actual = np.corrcoef(observed[:, voxel], predicted[:, voxel])[0, 1]
            null = [np.corrcoef(observed[:, voxel], predicted[order, voxel])[0, 1] for order in orders]
            p.append((np.sum(np.array(null) >= actual - 1e-12) + 1) / (N_PERMUTATIONS + 1))
        return p

    def ours():
        return block_permutation_p([observed], [predicted], N_PERMUTATIONS, 10, np.random.default_rng(1))

    return "block permutation, 300 TRs × 2,000 voxels", "corrcoef voxel by voxel", peer, ours


CASES = (block_permutation,)
