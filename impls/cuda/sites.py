"""Active sites with the kernel maps that were built for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from bench.window import Window
from impls.cuda.outputs import touched
from impls.cuda.places import Places, Seen


@dataclass(frozen=True, eq=False)
class View:
    """A kernel map in one direction.

    Attributes:
        table: int32 `[K, M]`, the row that each row sees through each offset; negative for none.
        turned_round: whether the table's offsets are in reverse.
        order: int32 `[M]`, the row that each column of the table is of; None for its own.
    """

    table: Tensor
    turned_round: bool = False
    order: Tensor | None = None


class KernelMap:
    """Which row is seen through each kernel offset, both ways.

    Args:
        seen: the input row that each output row sees.
        inputs: number of input rows.
        group_rows: brings a table's columns into an order in which tiles skip more offsets, where
            that pays.
        count_pairs: counts a table's pairs before each chunk of rows, for who shares them out.
        look_back: looks the other direction up, the output row that sees each input row; None where it
            is the same table with the offsets in reverse, as in every submanifold convolution.
    """

    def __init__(
        self,
        seen: Seen,
        inputs: int,
        group_rows: Callable[[Seen], tuple[Tensor, Tensor] | None],
        count_pairs: Callable[[Tensor], Tensor],
        look_back: Callable[[], Seen] | None = None,
    ) -> None:
        self._seen = seen
        self.inputs = inputs
        self._group_rows = group_rows
        self._count_pairs = count_pairs
        self._look_back = look_back
        self._seen_back: Seen | None = None
        self._grouped: dict[bool, View] = {}

    @cached_property
    def pairs_before(self) -> Tensor:
        """What `count_pairs` counts in `table`; counted once."""
        return self._count_pairs(self.table)

    @property
    def table(self) -> Tensor:
        """Int32 `[K, M]`, the input row that each output row sees; negative for none."""
        return self._seen.table

    @property
    def offsets(self) -> int:
        """Number of kernel offsets."""
        return self.table.shape[0]

    @property
    def outputs(self) -> int:
        """Number of output rows."""
        return self.table.shape[1]

    def back(self) -> View:
        """The other direction."""
        if self._look_back is None:
            return View(self.table, turned_round=True)
        return View(self._looked_back(self._look_back).table)

    def grouped(self, *, backwards: bool) -> View:
        """One direction, rows with the same neighbours together where that pays; sorted once."""
        if backwards and self._look_back is None:
            return replace(self.grouped(backwards=False), turned_round=True)
        if backwards not in self._grouped:
            seen = self._seen
            if backwards and self._look_back is not None:
                seen = self._looked_back(self._look_back)
            table, order = self._group_rows(seen) or (seen.table, None)
            self._grouped[backwards] = View(table, order=order)
        return self._grouped[backwards]

    def _looked_back(self, look_back: Callable[[], Seen]) -> Seen:
        if self._seen_back is None:
            self._seen_back = look_back()
        return self._seen_back


class Sites:
    """Active sites, with the kernel maps that were built for them.

    Layers of the same geometry on the same sites share one map, because they share this object.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        # No map refers back to these sites: a cycle would outlive them until the next collection.
        self._submanifold: dict[Window, KernelMap] = {}
        self._full: dict[Window, tuple[KernelMap, Sites]] = {}
        self._inverse: dict[Window, tuple[Places, KernelMap]] = {}

    def kernel_map(self, window: Window, *, submanifold: bool) -> "tuple[KernelMap, Sites]":
        """Kernel map and output sites of a convolution or pooling, built once."""
        places = self.places
        if submanifold or window.keeps_sites:
            if window not in self._submanifold:
                seen = places.look_up_inputs(places.coordinates, window)
                self._submanifold[window] = KernelMap(
                    seen, places.count, places.group_rows, places.count_pairs
                )
            return self._submanifold[window], self
        if window not in self._full:
            outputs = touched(places, window)
            inputs = places.coordinates

            def look_back() -> Seen:
                return outputs.look_up_outputs(inputs, window)

            seen = places.look_up_inputs(outputs.coordinates, window)
            built = KernelMap(seen, places.count, places.group_rows, places.count_pairs, look_back)
            self._full[window] = built, Sites(outputs)
        return self._full[window]

    def inverse_map(self, window: Window, source: Places) -> KernelMap:
        """Kernel map from coarse sites, wherever they came from, back onto these; built once.

        Waits for nothing: these sites are the output sites.
        """
        known = self._inverse.get(window)
        if known is not None and known[0] is source:
            return known[1]
        places = self.places

        def look_back() -> Seen:
            return places.look_up_inputs(source.coordinates, window)

        seen = source.look_up_outputs(places.coordinates, window)
        built = KernelMap(seen, source.count, places.group_rows, places.count_pairs, look_back)
        self._inverse[window] = source, built
        return built
