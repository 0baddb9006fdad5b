"""Active sites with the kernel maps that were built for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from bench.window import Window
from impls.cuda.places import Places, touched


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
        table: int32 `[K, M]`, the input row that each output row sees; negative for none.
        inputs: number of input rows.
        group_rows: brings a table's columns into an order in which tiles skip more offsets, where
            that pays.
        look_back: makes the table of the other direction, int32 `[K, N]`, the output row that sees
            each input row; None where it is the same table with the offsets in reverse, as in every
            submanifold convolution.
    """

    def __init__(
        self,
        table: Tensor,
        inputs: int,
        group_rows: Callable[[Tensor], tuple[Tensor, Tensor] | None],
        look_back: Callable[[], Tensor] | None = None,
    ) -> None:
        self.table = table
        self.inputs = inputs
        self._group_rows = group_rows
        self._look_back = look_back
        self._back: Tensor | None = None
        self._grouped: dict[bool, View] = {}

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
        if self._back is None:
            self._back = self._look_back()
        return View(self._back)

    def grouped(self, *, backwards: bool) -> View:
        """One direction, rows with the same neighbours together where that pays; sorted once."""
        if backwards and self._look_back is None:
            return replace(self.grouped(backwards=False), turned_round=True)
        if backwards not in self._grouped:
            view = self.back() if backwards else View(self.table)
            found = self._group_rows(view.table)
            self._grouped[backwards] = view if found is None else View(found[0], order=found[1])
        return self._grouped[backwards]


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
                table = places.look_up_inputs(places.coordinates, window)
                self._submanifold[window] = KernelMap(table, places.count, places.group_rows)
            return self._submanifold[window], self
        if window not in self._full:
            outputs = touched(places, window)
            inputs = places.coordinates

            def look_back() -> Tensor:
                return outputs.look_up_outputs(inputs, window)

            table = places.look_up_inputs(outputs.coordinates, window)
            built = KernelMap(table, places.count, places.group_rows, look_back)
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

        def look_back() -> Tensor:
            return places.look_up_inputs(source.coordinates, window)

        table = source.look_up_outputs(places.coordinates, window)
        built = KernelMap(table, source.count, places.group_rows, look_back)
        self._inverse[window] = source, built
        return built
