"""Ridge regression for many voxels at once, shared work done once: plain arrays in, plain arrays out.

The equations and names are those of Saunders et al. (1998) for the dual and Hastie et al. (2009, §3.4) for the primal form:
with centred training rows ``K = Q Λ Qᵀ`` and penalty ``a``, predictions are ``K_test Q (Λ + a)⁻¹ Qᵀ Y``.
"""
