"""spconv's implicit GEMM on a GPU, called as its own modules do (spconv/pytorch/conv.py, 2.3.8)."""

from typing import NamedTuple

from spconv import constants
from spconv.core import ConvAlgo
from spconv.pytorch import functional, ops
from torch import Tensor

from bench.dtypes import tf32_is_allowed
from bench.window import Window
from impls.spconv_maps import KernelMap, Sites, with_bias


class Direction(NamedTuple):
    """A kernel map one way.

    Attributes:
        table: row seen through each offset, or -1: int32 `[K, rows]`.
        masks: which offsets see a row, as bits, for each way that the kernel is split.
        orders: the rows sorted by these masks.
        rows: number of rows that come out.
    """

    table: Tensor
    masks: list[Tensor]
    orders: list[Tensor]
    rows: int


class ImplicitMap(KernelMap):
    """Tables of both directions."""

    def __init__(self, sites: Sites, window: Window, *, submanifold: bool, gradients: bool) -> None:
        (
            indices,
            _,
            table,
            inverse_table,
            masks,
            inverse_masks,
            orders,
            inverse_orders,
            self.splits,
        ) = ops.get_indice_pairs_implicit_gemm(
            sites.indices,
            sites.batch_size,
            list(sites.grid_size),
            ConvAlgo.MaskImplicitGemm,
            list(window.kernel_size),
            list(window.stride),
            list(window.padding),
            list(window.dilation),
            [0] * window.dimensions,
            subm=submanifold,
            is_train=gradients or not submanifold,
            # Its bound of a table's entries leaves dilation out of account: from a full one, a look-up
            # for what is not there never returns.
            direct_table=constants.SPCONV_USE_DIRECT_TABLE
            and (submanifold or max(window.dilation) == 1),
        )
        super().__init__(sites, window, indices)
        self.forth = Direction(table, masks, orders, len(indices))
        self.back = Direction(inverse_table, inverse_masks, inverse_orders, sites.count)
        self.submanifold = submanifold
        self.gradients = gradients

    def convolve(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Multiply what each output row sees."""
        there, back = self.forth, self.back
        return self._multiply(features, weight, bias, there, back, submanifold=self.submanifold)

    def convolve_back(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The same through the inverse table."""
        there, back = self.back, self.forth
        return self._multiply(features, weight, bias, there, back, submanifold=False)

    def maximum(self, features: Tensor) -> Tensor:
        """The library's maximum of active sites, raised to 0 where one is inactive."""
        pooled: Tensor = ops.indice_maxpool_implicit_gemm(
            features, self.forth.table, self.outputs.count
        )
        return pooled.clamp_(min=self.floor(features, 1))

    def count_active(self) -> Tensor:
        """Count what each output row sees."""
        return (self.forth.table >= 0).sum(0)

    def find_pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Read them off the table."""
        found = []
        for inputs in self.forth.table.long():
            (outputs,) = (inputs >= 0).nonzero(as_tuple=True)
            found.append((inputs[outputs], outputs))
        return found

    def _multiply(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        there: Direction,
        back: Direction,
        *,
        submanifold: bool,
    ) -> Tensor:
        # Its own switch, which it reads at every call.
        constants.SPCONV_ALLOW_TF32 = tf32_is_allowed()
        if not self.gradients:
            result, _, _ = ops.implicit_gemm(
                features,
                weight,
                there.table,
                there.masks,
                there.orders,
                there.rows,
                self.splits,
                False,  # noqa: FBT003  # with gradients
                submanifold,
                bias=bias,  # added by the same kernel
            )
        else:
            result = functional.implicit_gemm(
                features,
                weight,
                there.table,
                back.table,
                there.masks,
                back.masks,
                there.orders,
                back.orders,
                there.rows,
                self.splits,
                True,  # noqa: FBT003  # with gradients
                submanifold,
            )
            result = with_bias(result, bias)
        multiplied: Tensor = result
        return multiplied
