"""`sparsebench train`: the accuracy experiments of the papers, on any implementation."""

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.baseline import BASELINE
from bench.cli.quantities import not_negative, positive, positive_float, seed, threads
from bench.exit_codes import ExitCode

if TYPE_CHECKING:
    from bench.implementation import Implementation
    from bench.training.checkpoint import Checkpoint
    from bench.training.processes import Group
    from bench.training.session import Job

RUN_SUFFIX = ".json"
DTYPES = ("float32", "float64")
PRECISIONS = ("float32", "bfloat16", "float16")
FIXED = (
    *("small", "impl", "background", "dtype", "precision", "device", "seed", "epochs"),
    *("threads", "skip_broken", "output"),
)
"""Options that a resumed training has from its checkpoint."""
COMPARED = {"small", "dtype", "device", "seed", "threads"}
"""Those of them that --parity takes."""


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "train",
        help="train an accuracy experiment of the papers",
        description="Train an experiment and write an accuracy run file: curves, times, digests. "
        "Checkpoints lie beside it; --resume continues from one, on the very same curve. Under "
        "torchrun several processes share every batch.",
    )
    parser.add_argument("experiment", nargs="?", help="its name, as --list shows it")
    parser.add_argument("--list", action="store_true", help="show the experiments")
    parser.add_argument("--json", action="store_true", help="machine-readable, with --list")
    parser.add_argument(
        "--table",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="print accuracy run files beside what was published, as Markdown",
    )
    parser.add_argument(
        "--small", action="store_true", default=None, help="its small version, which takes minutes"
    )
    parser.add_argument("--impl", metavar="NAME", help="a name or a plug-in file")
    parser.add_argument(
        "--background", help="zero or ground_state (default: the experiment's, mostly zero)"
    )
    parser.add_argument("--dtype", help="float32 (default) or float64")
    parser.add_argument(
        "--precision",
        help="mixed precision, bfloat16 or float16: weights stay float32 (default: float32)",
    )
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--seed", type=seed, help="default: 0")
    parser.add_argument("--epochs", type=positive, help="default: the experiment's")
    parser.add_argument("--threads", type=threads, help="default: 1")
    parser.add_argument(
        "--loaders",
        type=not_negative,
        default=0,
        help="threads that make batches ahead (default: none)",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        default=None,
        help="leave out samples that cannot be decoded",
    )
    parser.add_argument(
        "--checkpoint-seconds",
        type=positive_float,
        default=60.0,
        help="time between checkpoints within an epoch (default: %(default)g)",
    )
    parser.add_argument(
        "--parity",
        metavar="NAMES",
        help="instead of training, compare the losses of the first steps with dense",
    )
    parser.add_argument(
        "--steps",
        type=positive,
        default=100,
        help="number of steps of --parity (default: %(default)s)",
    )
    parser.add_argument("--resume", type=Path, metavar="CHECKPOINT", help="resume a training")
    parser.add_argument(
        "-o", "--output", type=Path, help="run file (default: runs/TIME-EXPERIMENT-IMPL.json)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, or list what can be trained."""
    from bench.errors import UserError  # noqa: PLC0415

    if arguments.list or arguments.table:
        from bench.cli.training_output import print_experiments, print_runs  # noqa: PLC0415

        if arguments.list:
            print_experiments(as_json=arguments.json)
        else:
            print_runs(arguments.table)
        return 0
    if arguments.parity is not None and arguments.resume is not None:
        raise UserError("--parity compares the first steps: leave out --resume")
    if arguments.experiment is None and arguments.resume is None:
        raise UserError("name an experiment; `sparsebench train --list` shows them")
    if arguments.parity is not None:
        return _compare(arguments)
    from bench.training.processes import joined  # noqa: PLC0415

    with joined() as group:
        saved, job = _resumed(arguments, group) if arguments.resume else _begun(arguments, group)
        return _train(job, group, saved)


def _train(job: "Job", group: "Group", saved: "Checkpoint | None") -> int:
    from bench.cli.output import say  # noqa: PLC0415
    from bench.cli.training_output import print_summary, say_left_out  # noqa: PLC0415
    from bench.cli.training_progress import shown  # noqa: PLC0415
    from bench.training.session import train  # noqa: PLC0415

    title = f"{job.settings.experiment} {job.settings.implementation}"
    try:
        with shown(title, visible=group.is_first) as tell:
            trained = train(job, group, tell, saved, say_left_out)
    except KeyboardInterrupt:
        if group.is_first:
            hint = f"; continue with --resume {job.checkpoint}" if job.checkpoint.exists() else ""
            say(f"interrupted{hint}")
        return ExitCode.INTERRUPTED
    if trained is not None:
        print_summary(trained, job.target)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    """Print how far the losses of implementations lie from those of `dense`."""
    import torch  # noqa: PLC0415

    from bench.cli.names import split  # noqa: PLC0415
    from bench.cli.training_output import print_parity  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415
    from bench.measure.plan import check_device  # noqa: PLC0415
    from bench.training.parity import compare  # noqa: PLC0415
    from suites.accuracy.experiments import find  # noqa: PLC0415

    dtype = arguments.dtype or "float64"
    if dtype not in DTYPES:
        raise UserError(f"--parity compares in float32 or float64, not in {dtype}")
    if arguments.impl is not None:
        raise UserError("--parity names what is compared with dense; leave out --impl")
    unused = _given(arguments, without=COMPARED)
    if unused:
        raise UserError(f"--parity compares the first steps: leave out {unused[0]}")
    device = str(check_device(arguments.device or "cpu"))
    experiment = find(arguments.experiment, small=bool(arguments.small))
    torch.set_num_threads(arguments.threads or 1)
    names = [BASELINE, *(split(arguments.parity) or [])]
    found = compare(
        experiment,
        [_implementation(name, device) for name in names],
        dtype=dtype,
        device=device,
        seed=arguments.seed or 0,
        steps=arguments.steps,
    )
    print_parity(experiment.name, found, dtype)
    return ExitCode.FINE if all(each.agrees for each in found) else ExitCode.WRONG


def _begun(arguments: argparse.Namespace, group: "Group") -> "tuple[None, Job]":
    """Plan a new training."""
    from bench.background import Background  # noqa: PLC0415
    from bench.dtypes import torch_dtype  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415
    from bench.measure.plan import check_device  # noqa: PLC0415
    from bench.results.accuracy import TrainingSettings  # noqa: PLC0415
    from bench.time_of_day import stamp  # noqa: PLC0415
    from bench.training.session import Job, check_target  # noqa: PLC0415
    from suites.accuracy.experiments import find  # noqa: PLC0415

    experiment = find(arguments.experiment, small=bool(arguments.small))
    background = arguments.background or experiment.background
    if background not in list(Background):
        raise UserError(f"unknown background {background!r}; known are {', '.join(Background)}")
    dtype, device = arguments.dtype or "float32", arguments.device or "cpu"
    torch_dtype(dtype)
    if dtype not in DTYPES:
        raise UserError(f"training is in float32 or float64, not in {dtype}")
    device = str(check_device(device))
    implementation = _implementation(arguments.impl or experiment.implementation, device)
    if arguments.output is not None and arguments.output.suffix != RUN_SUFFIX:
        raise UserError(
            f"-o names the run file, which ends in {RUN_SUFFIX}, not {arguments.output}"
        )
    precision = arguments.precision or PRECISIONS[0]
    if precision not in PRECISIONS:
        raise UserError(
            f"--precision is float32, bfloat16 or float16, not {precision!r}; --dtype is the weights'"
        )
    is_mixed = precision != PRECISIONS[0]
    if is_mixed and dtype != PRECISIONS[0]:
        raise UserError(f"--precision {precision} mixes with float32, not with --dtype {dtype}")
    settings = TrainingSettings(
        experiment=experiment.name,
        version=experiment.version(),
        small=bool(arguments.small),
        implementation=arguments.impl or experiment.implementation,
        implementation_version=str(implementation.version),
        background=Background(background),
        dtype=dtype,
        device=device,
        seed=arguments.seed or 0,
        epochs=arguments.epochs or experiment.schedule.epochs,
        processes=group.size,
        threads=arguments.threads or 1,
        skip_broken=bool(arguments.skip_broken),
        precision=precision if is_mixed else None,
    )
    name = f"{stamp()}-{experiment.name}-{implementation.name}.json"
    job = Job(
        experiment=experiment,
        implementation=implementation,
        settings=settings,
        target=arguments.output or Path("runs") / name,
        command=_command(),
        checkpoint_seconds=arguments.checkpoint_seconds,
        loaders=arguments.loaders,
    )
    check_target(job)
    return None, job


def _resumed(arguments: argparse.Namespace, group: "Group") -> "tuple[Checkpoint, Job]":
    """Plan to go on with a training.

    Raises:
        UserError: if the checkpoint is of another experiment or version, or other options are given.
    """
    from bench.errors import UserError  # noqa: PLC0415
    from bench.measure.plan import check_device  # noqa: PLC0415
    from bench.training.checkpoint import SUFFIX, load, target_of  # noqa: PLC0415
    from bench.training.session import Job, check_resumed  # noqa: PLC0415
    from suites.accuracy.experiments import find  # noqa: PLC0415

    given = _given(arguments)
    if given:
        raise UserError(f"--resume continues as the training began; leave out {given[0]}")
    if arguments.resume.suffix != SUFFIX:
        raise UserError(f"--resume takes a {SUFFIX} file, not {arguments.resume}")
    saved = load(arguments.resume)
    settings = saved.settings
    if arguments.experiment not in {None, settings.experiment}:
        raise UserError(
            f"{arguments.resume} is a checkpoint of {settings.experiment}, not of "
            f"{arguments.experiment}"
        )
    experiment = find(settings.experiment, small=settings.small)
    check_device(settings.device)
    implementation = _implementation(settings.implementation, settings.device)
    check_resumed(settings, experiment, implementation, group)
    target = target_of(arguments.resume)
    if target.exists():
        raise UserError(f"{target} exists: this training is finished")
    job = Job(
        experiment=experiment,
        implementation=implementation,
        settings=settings,
        target=target,
        command=saved.command,
        checkpoint_seconds=arguments.checkpoint_seconds,
        loaders=arguments.loaders,
    )
    return saved, job


def _given(arguments: argparse.Namespace, without: Collection[str] = ()) -> list[str]:
    """The options of `FIXED` that were given, but for some."""
    return [
        f"--{name.replace('_', '-')}"
        for name in FIXED
        if name not in without and getattr(arguments, name) is not None
    ]


def _implementation(name: str, device: str) -> "Implementation":
    import torch  # noqa: PLC0415

    from bench.errors import UserError  # noqa: PLC0415
    from bench.measure.failures import why_unavailable  # noqa: PLC0415
    from bench.plugins.implementations import choose, load  # noqa: PLC0415
    from bench.training.faults import blamed  # noqa: PLC0415

    found, _ = choose([name])
    if len(found) != 1:
        raise UserError(f"{name} has {len(found)} implementations; training takes one")
    implementation = load(found[0])
    reason = why_unavailable(implementation, torch.device(device))
    if reason is not None:
        raise UserError(f"{name} cannot train on {device}: {reason}")
    with blamed(name, "when it was prepared"):
        implementation.prepare()
    return implementation


def _command() -> tuple[str, ...]:
    return ("sparsebench", *sys.argv[1:])
