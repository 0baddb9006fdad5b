"""Assamese handwriting: the small CNN, the VGG, and DeepCNets by scale and augmentation."""

from collections.abc import Iterator

from bench.results.accuracy import Published
from bench.training.experiment import Decay, Experiment, Optimizer, Schedule
from suites.accuracy.characters import (
    STILL,
    AssameseStrokes,
    BentMotion,
    FilledAssameseStrokes,
    LooseMotion,
    Motion,
)
from suites.accuracy.entry import FEW_CHARACTERS, REPRODUCTION, Entry, adam
from suites.networks.cnn import small_cnn
from suites.networks.deepcnet import deep_cnet, grid_of
from suites.networks.vgg import assamese_vgg

SLIDES = "Graham's slides"
EXAMPLE = "SparseConvNet's example, 20 epochs of 10 passes"
KINDS_OF_MOTION = ("none", "translations", "affine")
DEEPCNET_ERRORS = {
    3: (51.4, 38.3, 35.2),
    4: (26.8, 9.29, 7.47),
    5: (18.2, 5.28, 2.73),
    6: (14.1, 4.61, 1.76),
    7: (13.8, 4.07, 1.70),
}
"""Test errors of DeepCNet(l, 30) in percent, by l, one for each kind of motion."""
DEEPCNET_GAIN = 1.0
"""What poolings and rectifiers pass on has a large mean, alike in all samples. Weights of twice the
variance leave the loss where it is for epochs."""
DEEPCNET_PASSES = {"none": 50, "translations": 100, "affine": 200}
SMALL_DEEPCNET_PASSES = {"none": 20, "translations": 20, "affine": 60}
"""The more a character is moved, the longer is there something to learn."""
LEARNT_BY_HEART = 5
"""From this l on, a network learns the 36 writers by heart, however their strokes are moved: ..."""
DEEPCNET_DROPOUT = (0.1, 0.3)
"""... there is dropout, before the last convolution and before the classifier."""
VGG_PASSES = 200
"""Over the recordings: 20 epochs of the example, each of 10 passes."""
BENDING = STRETCHING = 0.3
"""Those of Graham's earlier program for the same characters, whose strokes move half as far. Under the
example's, bends up to 0.2 and shifts of the whole, the VGG learns the 36 writers by heart."""
VGG_MOTION = LooseMotion(shift=8, bending=BENDING, stretching=STRETCHING, stroke_shift=2)


def experiments() -> Iterator[Entry]:
    """By network."""
    yield Entry(_small_cnn(small=False), _small_cnn(small=True))
    yield Entry(_vgg(small=False), _vgg(small=True))
    for levels, errors in DEEPCNET_ERRORS.items():
        for kind, error in zip(KINDS_OF_MOTION, errors, strict=True):
            yield Entry(
                _deepcnet(levels, kind, error, small=False),
                _deepcnet(levels, kind, error, small=True),
            )


def _small_cnn(*, small: bool) -> Experiment:
    source = AssameseStrokes(48, 48, 1, every=_every(small=small))
    return Experiment(
        name="assamese-cnn-small",
        description="small CNN on Assamese characters, 48x48, no augmentation",
        network=small_cnn(48, source.classes),
        source=source,
        schedule=adam(10, batch_size=32) if small else adam(40, 3e-3, 64),
        implementation="dense",
        published=(Published(40.0, f"{REPRODUCTION}, about"),),
        target_percent=40.0,
    )


def _vgg(*, small: bool) -> Experiment:
    source = FilledAssameseStrokes(95, 63, 3, VGG_MOTION, _every(small=small))
    return Experiment(
        name="assamese-vgg",
        description="submanifold VGG on Assamese characters, 95x95, stretched, sheared or rotated, "
        "shifted, as are their strokes",
        network=assamese_vgg(source.classes),
        source=source,
        schedule=Schedule(
            epochs=10 if small else VGG_PASSES,
            batch_size=108,
            optimizer=Optimizer.SGD,
            learning_rate=0.1,
            decay=Decay.COSINE,
            warm_up=0.05,
            weight_decay=5e-4,
        ),
        published=(Published(1.5, EXAMPLE),),
        target_percent=10.0 if small else 2.0,
    )


def _deepcnet(levels: int, kind: str, error: float, *, small: bool) -> Experiment:
    grid, scale = grid_of(levels)[0], 2**levels
    source = FilledAssameseStrokes(grid, scale, 3, _motion(kind, scale), _every(small=small))
    has_dropout = levels >= LEARNT_BY_HEART and not small
    dropout = (0.0,) * levels + DEEPCNET_DROPOUT if has_dropout else ()
    return Experiment(
        name=f"assamese-deepcnet-{levels}-30-{kind}",
        description=f"DeepCNet({levels}, 30) on Assamese characters of {scale} pixels, {grid}x{grid}, "
        f"augmentation: {kind}",
        network=deep_cnet(levels, 30, source.classes, channels=source.channels, dropout=dropout),
        source=source,
        schedule=Schedule(
            epochs=(SMALL_DEEPCNET_PASSES if small else DEEPCNET_PASSES)[kind],
            batch_size=32,
            optimizer=Optimizer.SGD,
            learning_rate=0.03,
            decay=Decay.COSINE,
            warm_up=0.05,
            weight_decay=5e-4,
        ),
        published=(Published(error, SLIDES),),
        target_percent=None if small else error,
        gain=DEEPCNET_GAIN,
    )


def _every(*, small: bool) -> int:
    return FEW_CHARACTERS if small else 1


def _motion(kind: str, scale: int) -> Motion:
    """Move the strokes of characters of a scale as far as one still reads them."""
    match kind:
        case "none":
            return STILL
        case "translations":
            return Motion(shift=scale / 8)
        case _:
            return BentMotion(
                shift=scale / 8,
                bending=BENDING,
                stretching=STRETCHING,
                stroke_shift=scale / 32,
                stroke_bending=0.15,
            )
