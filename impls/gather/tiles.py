"""Register tiles: the innermost loops of `gather`, written in LLVM's own language.

A tile of products takes a few pairs of one kernel offset and a block of output channels. It loads the
output rows into registers, adds the products of all input channels, and stores them: gather, multiply
and scatter in one go, without a buffer. LLVM is inside of numba, so no compiler is needed, and its
vectors become whatever registers the processor has. Sizes are chosen so that the sums just fit these.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Builder = Any
Value = Any
INT = ir.IntType(64)
INDEX = ir.IntType(32)
POINTER = ir.PointerType()


class Shape(NamedTuple):
    """Bytes of a vector register, and rows of a tile of two vectors a row that fit all registers."""

    vector_bytes: int
    rows: int


def host_shape(features: dict[str, bool], architecture: str) -> Shape:
    """What the processor has: 32 registers of 64 bytes, 16 of 32, or 32 or 16 of 16 bytes."""
    if features.get("avx512f"):
        return Shape(64, 12)
    if features.get("avx2"):
        return Shape(32, 6)
    return Shape(16, 12 if architecture in {"aarch64", "arm64"} else 6)


SHAPE = host_shape(
    dict(llvmlite.binding.get_host_cpu_features()),
    llvmlite.binding.get_process_triple().split("-")[0],
)


class _Element(NamedTuple):
    """LLVM's types of an element, and what loads, stores and multiplies vectors of it."""

    scalar: Any
    vector: Any
    lanes: int
    size: int

    @classmethod
    def of(cls, array: types.Array) -> "_Element":
        size = array.dtype.bitwidth // 8
        scalar = ir.FloatType() if size == 4 else ir.DoubleType()
        lanes = SHAPE.vector_bytes // size
        return cls(scalar, ir.VectorType(scalar, lanes), lanes, size)

    @property
    def suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.size}"

    @property
    def mask(self) -> Any:
        return ir.VectorType(ir.IntType(1), self.lanes)

    def splat(self, builder: Builder, value: Value, scalar: Any) -> Value:
        """One value in all lanes."""
        vector = ir.VectorType(scalar, self.lanes)
        undefined = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(undefined, value, INDEX(0))
        zeros = ir.Constant(ir.VectorType(INDEX, self.lanes), [0] * self.lanes)
        return builder.shuffle_vector(first, undefined, zeros)

    def first_lanes(self, builder: Builder, count: Value) -> Value:
        """Mask of the first lanes."""
        numbers = ir.Constant(ir.VectorType(INDEX, self.lanes), list(range(self.lanes)))
        return builder.icmp_signed(
            "<", numbers, self.splat(builder, builder.trunc(count, INDEX), INDEX)
        )

    def load(self, builder: Builder, address: Value, mask: Value | None) -> Value:
        pointer = builder.inttoptr(address, POINTER)
        if mask is None:
            return builder.load(pointer, typ=self.vector, align=self.size)
        kind = ir.FunctionType(self.vector, [POINTER, INDEX, self.mask, self.vector])
        load = cgutils.get_or_insert_function(
            builder.module, kind, f"llvm.masked.load.{self.suffix}.p0"
        )
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        return builder.call(load, [pointer, INDEX(self.size), mask, zero])

    def store(self, builder: Builder, value: Value, address: Value, mask: Value | None) -> None:
        pointer = builder.inttoptr(address, POINTER)
        if mask is None:
            builder.store(value, pointer, align=self.size)
            return
        kind = ir.FunctionType(ir.VoidType(), [self.vector, POINTER, INDEX, self.mask])
        store = cgutils.get_or_insert_function(
            builder.module, kind, f"llvm.masked.store.{self.suffix}.p0"
        )
        builder.call(store, [value, pointer, INDEX(self.size), mask])

    def broadcast(self, builder: Builder, address: Value) -> Value:
        pointer = builder.inttoptr(address, POINTER)
        value = builder.load(pointer, typ=self.scalar, align=self.size)
        return self.splat(builder, value, self.scalar)

    def multiply_add(self, builder: Builder, left: Value, right: Value, total: Value) -> Value:
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.{self.suffix}")
        return builder.call(fma, [left, right, total])


class _Array(NamedTuple):
    """Address of an array's first element and bytes of one of its rows."""

    address: Value
    row_bytes: Value

    @classmethod
    def of(cls, context: Any, builder: Builder, kind: types.Array, value: Value) -> "_Array":
        array = context.make_array(kind)(context, builder, value)
        itemsize = INT(kind.dtype.bitwidth // 8)
        columns = cgutils.unpack_tuple(builder, array.shape)[-1]
        return cls(builder.ptrtoint(array.data, INT), builder.mul(columns, itemsize))

    def entry(self, builder: Builder, place: Value) -> Value:
        """Read an int32 entry."""
        address = builder.add(self.address, builder.mul(place, INT(4)))
        value = builder.load(builder.inttoptr(address, POINTER), typ=INDEX)
        return builder.sext(value, INT)

    def row(self, builder: Builder, number: Value) -> Value:
        """Address of a row."""
        return builder.add(self.address, builder.mul(number, self.row_bytes))


def _loop(
    builder: Builder,
    first: Value,
    last: Value,
    totals: list[Value],
    step: Callable[[Value, list[Value]], list[Value]],
) -> list[Value]:
    """Run `step(counter, totals) -> totals` for counters in [first, last), totals in registers."""
    before = builder.block
    body = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", first, last), body, after)
    builder.position_at_end(body)
    counter = builder.phi(INT)
    counter.add_incoming(first, before)
    current = [builder.phi(total.type) for total in totals]
    for phi, total in zip(current, totals, strict=True):
        phi.add_incoming(total, before)
    new = step(counter, current)
    following = builder.add(counter, INT(1))
    counter.add_incoming(following, builder.block)
    for phi, total in zip(current, new, strict=True):
        phi.add_incoming(total, builder.block)
    end = builder.block
    builder.cbranch(builder.icmp_signed("<", following, last), body, after)
    builder.position_at_end(after)
    results = []
    for total, changed in zip(totals, new, strict=True):
        phi = builder.phi(total.type)
        phi.add_incoming(total, before)
        phi.add_incoming(changed, end)
        results.append(phi)
    return results


def _smaller(builder: Builder, left: Value, right: Value) -> Value:
    return builder.select(builder.icmp_signed("<", left, right), left, right)


def _masks(
    element: _Element, builder: Builder, vectors: int, tail: Value, *, masked: bool
) -> list[Value | None]:
    """A mask for the last vector where the channels do not fill it."""
    last = element.first_lanes(builder, tail) if masked else None
    return [None] * (vectors - 1) + [last]


def pair_tile(rows: int, vectors: int, *, masked: bool) -> Any:
    """Make `tile(index, inputs, outputs, count, x, w, offset, out, column, tail)`.

    It adds `x[i] @ w[offset, :, column:]` to `out[o, column:]` for up to `rows` pairs (i, o), in
    `vectors` registers a row; of the last register only `tail` lanes count if `masked`. Where there are
    fewer pairs, the last one is computed several times over, and the same sum stored as often.

    Args of the tile:
        index: int32 `[*]`, rows of all pairs.
        inputs, outputs: places in `index` where the pairs' input and output rows begin.
        count: number of pairs, at least 1.
        x: `[N, C_in]`.
        w: `[K, C_in, C_out]`.
        out: `[M, C_out]`.
    """

    @intrinsic
    def tile(typing: Any, index, inputs, outputs, count, x, w, offset, out, column, tail):
        signature = types.void(index, inputs, outputs, count, x, w, offset, out, column, tail)
        element = _Element.of(x)

        def generate(context: Any, builder: Builder, signature: Any, values: list[Value]) -> Value:
            kinds = signature.args
            table = _Array.of(context, builder, kinds[0], values[0])
            source = _Array.of(context, builder, kinds[4], values[4])
            weight = _Array.of(context, builder, kinds[5], values[5])
            target = _Array.of(context, builder, kinds[7], values[7])
            masks = _masks(element, builder, vectors, values[9], masked=masked)
            shift = builder.mul(values[8], INT(element.size))
            last = builder.sub(values[3], INT(1))
            channels = builder.sdiv(source.row_bytes, INT(element.size))
            first = weight.row(builder, builder.mul(values[6], channels))
            first = builder.add(first, shift)

            def places(array: _Array, start: Value) -> list[Value]:
                numbers = [_smaller(builder, INT(row), last) for row in range(rows)]
                return [
                    array.row(builder, table.entry(builder, builder.add(start, number)))
                    for number in numbers
                ]

            read = places(source, values[1])
            written = [builder.add(place, shift) for place in places(target, values[2])]
            at = [
                (builder.add(place, INT(number * element.lanes * element.size)), masks[number])
                for place in written
                for number in range(vectors)
            ]
            totals = [element.load(builder, address, mask) for address, mask in at]

            def step(channel: Value, totals: list[Value]) -> list[Value]:
                start = builder.add(first, builder.mul(channel, weight.row_bytes))
                weights = [
                    element.load(
                        builder,
                        builder.add(start, INT(number * element.lanes * element.size)),
                        masks[number],
                    )
                    for number in range(vectors)
                ]
                skip = builder.mul(channel, INT(element.size))
                new = []
                for row in range(rows):
                    value = element.broadcast(builder, builder.add(read[row], skip))
                    new += [
                        element.multiply_add(
                            builder, value, weights[number], totals[row * vectors + number]
                        )
                        for number in range(vectors)
                    ]
                return new

            for total, (address, mask) in zip(
                _loop(builder, INT(0), channels, totals, step), at, strict=True
            ):
                element.store(builder, total, address, mask)
            return context.get_dummy_value()

        return signature, generate

    return tile


def outer_tile(rows: int, vectors: int, *, masked: bool) -> Any:
    """Make `tile(index, inputs, outputs, count, x, g, total, offset, channel, left, column, tail)`.

    It adds `x[i, channel:].T @ g[o, column:]` to `total[offset, channel:, column:]` over `count` pairs
    (i, o), for up to `rows` input channels, `left` of which there are, in `vectors` registers each.

    Args of the tile:
        index: int32 `[*]`, rows of all pairs.
        inputs, outputs: places in `index` where the pairs' input and output rows begin.
        x: `[N, C_in]`.
        g: `[M, C_out]`.
        total: `[K, C_in, C_out]`.
    """

    @intrinsic
    def tile(
        typing: Any, index, inputs, outputs, count, x, g, total, offset, channel, left, column, tail
    ):
        signature = types.void(
            index, inputs, outputs, count, x, g, total, offset, channel, left, column, tail
        )
        element = _Element.of(x)

        def generate(context: Any, builder: Builder, signature: Any, values: list[Value]) -> Value:
            kinds = signature.args
            table = _Array.of(context, builder, kinds[0], values[0])
            source = _Array.of(context, builder, kinds[4], values[4])
            upstream = _Array.of(context, builder, kinds[5], values[5])
            target = _Array.of(context, builder, kinds[6], values[6])
            masks = _masks(element, builder, vectors, values[11], masked=masked)
            skip = builder.mul(values[8], INT(element.size))
            shift = builder.mul(values[10], INT(element.size))
            last = builder.sub(values[9], INT(1))
            numbers = [_smaller(builder, INT(row), last) for row in range(rows)]
            channels = builder.sdiv(source.row_bytes, INT(element.size))
            first = builder.add(builder.mul(values[7], channels), values[8])
            at = [
                (
                    builder.add(
                        builder.add(target.row(builder, builder.add(first, row)), shift),
                        INT(number * element.lanes * element.size),
                    ),
                    masks[number],
                )
                for row in numbers
                for number in range(vectors)
            ]
            totals = [element.load(builder, address, mask) for address, mask in at]
            skips = [builder.mul(number, INT(element.size)) for number in numbers]

            def step(pair: Value, totals: list[Value]) -> list[Value]:
                read = source.row(builder, table.entry(builder, builder.add(values[1], pair)))
                read = builder.add(read, skip)
                seen = upstream.row(builder, table.entry(builder, builder.add(values[2], pair)))
                seen = builder.add(seen, shift)
                gradients = [
                    element.load(
                        builder,
                        builder.add(seen, INT(number * element.lanes * element.size)),
                        masks[number],
                    )
                    for number in range(vectors)
                ]
                new = []
                for row in range(rows):
                    value = element.broadcast(builder, builder.add(read, skips[row]))
                    new += [
                        element.multiply_add(
                            builder, value, gradients[number], totals[row * vectors + number]
                        )
                        for number in range(vectors)
                    ]
                return new

            for sum_, (address, mask) in zip(
                _loop(builder, INT(0), values[3], totals, step), at, strict=True
            ):
                element.store(builder, sum_, address, mask)
            return context.get_dummy_value()

        return signature, generate

    return tile


def fill_tile(*, masked: bool) -> Any:
    """Make `tile(values, out, first, last, tail)`.

    It writes the same register, of whose lanes only `tail` count if `masked`, to rows [first, last).

    Args of the tile:
        values: `[C]`, no more than fit a register.
        out: `[M, C]`.
    """

    @intrinsic
    def tile(typing: Any, values, out, first, last, tail):
        signature = types.void(values, out, first, last, tail)
        element = _Element.of(out)

        def generate(context: Any, builder: Builder, signature: Any, values: list[Value]) -> Value:
            source = _Array.of(context, builder, signature.args[0], values[0])
            target = _Array.of(context, builder, signature.args[1], values[1])
            (mask,) = _masks(element, builder, 1, values[4], masked=masked)
            register = element.load(builder, source.address, mask)

            def step(row: Value, totals: list[Value]) -> list[Value]:
                element.store(builder, register, target.row(builder, row), mask)
                return totals

            _loop(builder, values[2], values[3], [], step)
            return context.get_dummy_value()

        return signature, generate

    return tile


def transpose_tile(*, masked: bool) -> Any:
    """Make `tile(w, k, row, column, height, width, turned)`.

    It writes the square of `w[k]` from [row, column] on, as wide as a register, to `turned[k]`; if
    `masked`, only `height` rows and `width` columns of it. Blocks of 1, 2, 4... lanes change places
    between registers whose numbers differ by as much.

    Args of the tile:
        w: `[K, C_in, C_out]`.
        turned: `[K, C_out, C_in]`.
    """

    @intrinsic
    def tile(typing: Any, w, k, row, column, height, width, turned):
        signature = types.void(w, k, row, column, height, width, turned)
        element = _Element.of(w)

        def generate(context: Any, builder: Builder, signature: Any, values: list[Value]) -> Value:
            source = _Array.of(context, builder, signature.args[0], values[0])
            target = _Array.of(context, builder, signature.args[6], values[6])
            _, matrix, row, column, height, width, _ = values

            def rows_from(
                array: _Array, other: _Array, row: Value, column: Value, count: Value
            ) -> list[Value]:
                """Addresses of a square's rows; the last one's for those that are not there."""
                in_matrix = builder.sdiv(other.row_bytes, INT(element.size))
                first = builder.add(builder.mul(matrix, in_matrix), row)
                last = builder.sub(count, INT(1))
                numbers = [
                    _smaller(builder, INT(number), last) if masked else INT(number)
                    for number in range(element.lanes)
                ]
                skip = builder.mul(column, INT(element.size))
                return [
                    builder.add(array.row(builder, builder.add(first, number)), skip)
                    for number in numbers
                ]

            (wide,) = _masks(element, builder, 1, width, masked=masked)
            (high,) = _masks(element, builder, 1, height, masked=masked)
            read = rows_from(source, target, row, column, height)
            written = rows_from(target, source, column, row, width)
            registers = [element.load(builder, address, wide) for address in read]
            step = 1
            while step < element.lanes:
                registers = _exchanged(builder, registers, step)
                step *= 2
            # Backwards, so that the last row that is there overwrites those that are not.
            for register, address in reversed(list(zip(registers, written, strict=True))):
                element.store(builder, register, address, high)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _exchanged(builder: Builder, registers: list[Value], step: int) -> list[Value]:
    """Exchange the odd blocks of `step` lanes of each register with the even ones of another."""
    lanes = len(registers)
    kind = ir.VectorType(INDEX, lanes)
    low = [lane if not lane & step else lanes + lane - step for lane in range(lanes)]
    high = [lane + step if not lane & step else lanes + lane for lane in range(lanes)]
    result = list(registers)
    for number in range(lanes):
        if not number & step:
            pair = registers[number], registers[number + step]
            result[number] = builder.shuffle_vector(*pair, ir.Constant(kind, low))
            result[number + step] = builder.shuffle_vector(*pair, ir.Constant(kind, high))
    return result


@intrinsic
def popcount(typing: Any, value):
    """Count the ones in an int64."""

    def generate(context: Any, builder: Builder, signature: Any, values: list[Value]) -> Value:
        return builder.ctpop(values[0])

    return types.int64(types.int64), generate


@intrinsic
def lowest_one(typing: Any, value):
    """Place of the lowest one in an int64 that is not 0."""

    def generate(context: Any, builder: Builder, signature: Any, values: list[Value]) -> Value:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
