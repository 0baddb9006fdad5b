"""The interface between the harness and a way of computing the convolution.

Requirements that it meets:

- A contributor writes one class in one file; what they leave out is reported as unsupported, in words.
- A GPU library, a dense tensor and a list of coordinates fit behind it alike: the native tensor is
  opaque, and only its owner takes it apart.
- Weights come in torch's layout and gradients are compared in torch's layout; how they are stored in
  between is the implementation's own affair.
- Cold and warm are told apart by the harness, through `encode` and `without_maps`, never by trust.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch
from bench.errors import writable
from bench.network import Network
from bench.operators import (
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    Dropout,
    InverseConvolution,
    Joining,
    Linear,
    MaxPooling,
    Operator,
    Pointwise,
    Rectifier,
)
from bench.phases import TIMED_REGION, TIMED_REGION_FROM_DENSE, Phase


def source_digest(folder: Path, *patterns: str) -> str:
    """Eight digits that change with any file of a folder: the version of code that is changed often.

    Args:
        folder: searched with its subfolders.
        patterns: of the files' names; by default all Python files.
    """
    digest = hashlib.sha256()
    found = {path for pattern in patterns or ("*.py",) for path in folder.rglob(pattern)}
    for path in sorted(found):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


Native = Any
"""An implementation's own tensor; only its methods and modules look inside."""


class Implementation(ABC):
    """One way of computing sparse or dense convolutions.

    Attributes:
        name: how commands and reports call it.
        version: what its results depend on, recorded beside them; by default, that of a plug-in
            file is the digest of the file.
        origin: where it comes from, for the reader of a report.
        starts_dense: its users hold a dense tensor already, so that cold phases start from the
            native tensor instead of the sparse batch.
        deterministic: the same input gives the same bits at every run.
        timed_region: words for the fairness ledger, where a phase holds something of its own.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "0"
    origin: ClassVar[str] = ""
    starts_dense: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True
    timed_region: ClassVar[Mapping[Phase, str]] = {}

    def unavailable(self, device: torch.device) -> str | None:
        """Say in words why this cannot run here, or return None."""
        return None

    def unsupported(
        self,
        operator: Operator,
        dtype: torch.dtype,
        device: torch.device,
    ) -> str | None:
        """Say in words why an operator cannot be computed in this type, or return None.

        Operators whose method is not overridden need no mention.
        """
        return None

    def unmeasured(self, phase: Phase) -> str | None:
        """Say in words why timing a phase of this would tell nothing new, or return None."""
        return None

    def prepare(self) -> None:  # noqa: B027  # there may be nothing to prepare
        """Import, compile or load once what every worker needs: they are forked from this process.

        Called for installed implementations that are available. It may start no thread and open no
        device, and results must be right without it.
        """

    def tune(self, call: Callable[[], object]) -> None:  # noqa: B027  # there may be nothing to tune
        """Measure now whatever this chooses by measuring, for all that a call computes.

        For implementations that would otherwise try things out within their first calls. Called in
        every worker, before anything is checked or timed; the run file has its time apart. What is
        chosen need not hold for native tensors that were encoded before. Results must be right
        whether this is called or not.

        Args:
            call: encodes and runs a network on the very input that will be timed, forward, or forward
                and backward; it may be made any number of times, or never.
        """

    @abstractmethod
    def encode(self, batch: SparseBatch) -> Native:
        """Make the native tensor of a canonical sparse batch; differentiable in its features."""

    @abstractmethod
    def decode(self, native: Native) -> SparseBatch:
        """Make the canonical sparse batch of a native tensor; differentiable in its features."""

    @abstractmethod
    def features(self, native: Native) -> Tensor:
        """Return the tensor that holds the native tensor's values, channels on axis 1.

        Sparse natives return `[N, C]` in the order of their own rows. A native that keeps a whole
        grid returns it, zero at inactive sites, and overrides `pointwise` where zero is not kept.
        """

    @abstractmethod
    def with_features(self, native: Native, features: Tensor) -> Native:
        """Return a native tensor of the same sites and kernel maps with other values."""

    def without_maps(self, native: Native) -> Native:
        """Return the same native tensor without any cached kernel map."""
        return native

    def build_map(self, module: nn.Module, native: Native) -> None:
        """Build and cache the kernel map that `module` needs for this native tensor.

        Only for implementations that can do so apart from the convolution. Raise
        `NotImplementedError`, with the reason, where the module needs none.
        """
        raise _missing(self, "build_map")

    def ablations(self, module: nn.Module, native: Native) -> Mapping[str, Callable[[], object]]:
        """Return warm calls of `module` that each lack one of its parts, by the part's name.

        The report shows what each part costs: the time that a call without it takes less. Results are
        not looked at. Empty where nothing can be left out.
        """
        return {}

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """Make a module from native to native tensor.

        Args:
            operator: rule and geometry.
            weight: `[C_out, C_in, *kernel]`, of the final dtype, on the final device.
            bias: `[C_out]`, or None.

        Returns:
            A module whose parameters `weight` (any layout) and `bias` receive the gradients.
        """
        raise _missing(self, "convolution")

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """Make a module from two native tensors, source and target, to one at the target's sites.

        Args:
            operator: the geometry of the convolution that is undone.
            weight: `[C_in, C_out, *kernel]`.
            bias: `[C_out]`, or None.
        """
        raise _missing(self, "inverse_convolution")

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """Make a module from native to native tensor."""
        raise _missing(self, "max_pooling")

    def torch_layout(self, operator: Operator, weight: Tensor) -> Tensor:
        """Bring a parameter `weight`, or its gradient, back into torch's layout; differentiable."""
        return weight

    def pointwise(
        self, operator: Pointwise, weight: Tensor | None, bias: Tensor | None
    ) -> nn.Module:
        """Make a module that acts on the features of active sites; fit for `[N, C]` natives."""
        return OnFeatures(self, pointwise_module(operator, weight, bias))

    def unmasked(self) -> "Implementation | None":
        """Return what computes every site of the grid and masks nothing, for exact ground states.

        Only for implementations whose native tensor is a whole grid: their network is then the plain
        dense network. It shares the native tensor, and `decode` reads at the active sites as before.
        The harness runs all others on deviations from the ground state, which asks nothing of them.
        """
        return None

    def join(self, operator: Joining, natives: list[Native]) -> Native:
        """Concatenate or add natives that are active at the same sites, in the same order."""
        features = [self.features(native) for native in natives]
        match operator:
            case Concatenate():
                joined = torch.cat(features, dim=1)
            case Add():
                joined = torch.stack(features).sum(0)
        return self.with_features(natives[0], joined)


class OnFeatures(nn.Module):
    """Applies a torch module to the values of a native tensor."""

    def __init__(self, implementation: Implementation, inner: nn.Module) -> None:
        super().__init__()
        self.implementation = implementation
        self.inner = inner

    @property
    def weight(self) -> Tensor:
        """The inner module's weight, where it has one."""
        return self.inner.get_parameter("weight")

    @property
    def bias(self) -> Tensor:
        """The inner module's bias, where it has one."""
        return self.inner.get_parameter("bias")

    def forward(self, native: Native) -> Native:
        """Map the values, keep sites and maps."""
        features = self.inner(self.implementation.features(native))
        return self.implementation.with_features(native, features)


def pointwise_module(
    operator: Pointwise, weight: Tensor | None = None, bias: Tensor | None = None
) -> nn.Module:
    """Make torch's module for a pointwise operator on rows `[N, C]`."""
    match operator:
        case Rectifier(negative_slope=0):
            return nn.ReLU()
        case Rectifier(negative_slope=slope):
            return nn.LeakyReLU(slope)
        case Dropout(probability=probability):
            return nn.Dropout(probability)
        case BatchNorm(channels=channels):
            return _with(nn.BatchNorm1d(channels), weight, bias)
        case Linear():
            linear = nn.Linear(operator.in_channels, operator.out_channels, operator.bias)
            return _with(linear, weight, bias)


def _with(module: nn.Module, weight: Tensor | None, bias: Tensor | None) -> nn.Module:
    if weight is not None:
        module.weight = nn.Parameter(weight)
    if bias is not None:
        module.bias = nn.Parameter(bias)
    return module


_METHODS = {
    Convolution: "convolution",
    InverseConvolution: "inverse_convolution",
    MaxPooling: "max_pooling",
}


def why_unsupported(
    implementation: Implementation, operator: Operator, dtype: torch.dtype, device: torch.device
) -> str | None:
    """Why an implementation cannot compute an operator, methods left out included; None if it can."""
    method = _METHODS.get(type(operator))
    if method is not None and not overrides(implementation, method):
        return f"{implementation.name} has no {method}"
    return in_words("unsupported", implementation.unsupported(operator, dtype, device))


def why_unmeasured(
    implementation: Implementation, phase: Phase, network: Network | None = None
) -> str | None:
    """Why a phase cannot be timed apart for an implementation, on a network; None if it can."""
    if phase is Phase.MAP and not overrides(implementation, "build_map"):
        return f"{implementation.name} has no kernel map apart from its forward pass"
    if phase is Phase.MAP and network is not None:
        if network.single_operator is None:
            return (
                "each layer of a network has a kernel map of its own: forward_cold builds them all"
            )
        if type(network.single_operator) not in _METHODS:
            return "this operator needs no kernel map"
    return in_words("unmeasured", implementation.unmeasured(phase))


def in_words(method: str, answer: object) -> str | None:
    """Return what a plug-in's method answers.

    Raises:
        TypeError: if that is no reason in words, and not None.
    """
    if answer is None:
        return None
    if isinstance(answer, str):
        return writable(answer)
    raise TypeError(f"{method} returns {answer!r}; it returns a reason in words, or None")


def overrides(implementation: Implementation, method: str) -> bool:
    """Whether an implementation has a method of its own in place of the interface's."""
    return getattr(type(implementation), method) is not getattr(Implementation, method)


def ledger(implementation: Implementation) -> dict[str, str]:
    """What lies inside the timed region, for each phase that is timed apart."""
    words = dict(TIMED_REGION)
    if implementation.starts_dense:
        words |= TIMED_REGION_FROM_DENSE
    words |= implementation.timed_region
    for phase in Phase:
        try:
            reason = why_unmeasured(implementation, phase)
        except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; workers record it
            reason = f"{type(error).__name__}: {error}"
        if reason is not None:
            words[phase] = f"not timed: {reason}"
    return {str(phase): writable(text) for phase, text in words.items()}


def _missing(implementation: Implementation, method: str) -> NotImplementedError:
    return NotImplementedError(f"{implementation.name} has no {method}")
