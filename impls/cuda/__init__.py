"""`cuda`: this project's own CUDA kernels, compiled by CuPy when they are first needed.

`kernels/` holds the CUDA C++; this package finds active sites with it (`places`, `sites`), multiplies
(`products`, `weight_gradient`) and pools, both with gradients, and says why it cannot (`availability`).
What launches a kernel stands behind `launching.Launcher`: CuPy on a GPU (`cupy_launcher`), a build by
the host's own compiler in the tests.
"""

from impls.cuda.implementation import Cuda

__all__ = ["Cuda"]
