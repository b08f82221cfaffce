"""The commands ``rgbench quickstart | run | runs | report | predict | export``: train, compare, classify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rgbench.cli.help import MACHINES
from rgbench.cli.options import (
    DEFAULT_STORE,
    ClassifierOption,
    DeviceOption,
    EngineOption,
    ImageScaleOption,
    ModelOption,
    OverwriteFileOption,
    OverwriteOption,
    PlaneOption,
    PriorOption,
    RunChoiceOption,
    StoreOption,
    ViewsOption,
    given,
)
from rgbench.cli.queues import (
    NO_QUEUE,
    JobScriptOption,
    QueueAsked,
    RayOption,
    ShardOption,
    SlurmOption,
    SlurmSettingOption,
)
from rgbench.cli.screen import console, starting
from rgbench.escapes import for_file_name


def quickstart(
    architectures: Annotated[
        Path | None,
        typer.Option(
            "-a", "--architectures", help="File of lines name,learning rate,epochs. Runs the 2021 protocol."
        ),
    ] = None,
    num_classes: Annotated[int, typer.Option("-c", "--num_classes", help="Number of classes.")] = 4,
    data_path: Annotated[
        Path | None, typer.Option("-d", "--data_path", help="Folder of images, <CLASS>/<name>.fits.")
    ] = None,
    data_manifest: Annotated[
        Path | None,
        typer.Option("-f", "--data_manifest", help="CSV of names and labels, with a header line."),
    ] = None,
    img_size: Annotated[
        str, typer.Option("-i", "--img_size", help="Pixels: one number, or rows,columns.")
    ] = "300,300",
    model_path: Annotated[
        Path | None, typer.Option("-m", "--model_path", help="Folder to copy the trained models to.")
    ] = None,
    only_test: Annotated[
        str,
        typer.Option("-o", "--only_test", help="False, True (test stored models only) or time (time them)."),
    ] = "False",
    results_path: Annotated[
        Path, typer.Option("-p", "--results_path", envvar="RGBENCH_STORE", help="Folder of runs and results.")
    ] = DEFAULT_STORE,
    rotate: Annotated[int, typer.Option("-r", "--rotate", help="Step of the rotations, in degrees.")] = 15,
    seed: Annotated[
        int, typer.Option("-s", "--seed", help="The seed: 8901, 1826 and 4915 were published.")
    ] = 8901,
    train_size: Annotated[
        int, typer.Option("-t", "--train_size", help="Training sources per class (with -d).")
    ] = 250,
    val_size: Annotated[
        int, typer.Option("-v", "--val_size", help="Validation sources per class (with -d).")
    ] = 100,
    mnist: Annotated[
        bool,
        typer.Option("-X", "--mnist", help="The original's control: MNIST, 28 pixels, 10 classes (with -a)."),
    ] = False,
    protocol: Annotated[
        str, typer.Option("--protocol", help="becker2021, rg-benchmarker-2021-11 or modern (with -a).")
    ] = "becker2021",
    device: DeviceOption = "auto",
) -> None:
    """Train and compare three networks on real images; with -a, run the 2021 study's protocol.

    Without options: first what the classifier that comes with the package gives, then ConvXpress
    and two more networks, three seeds, on the embedded data set, in minutes. With -a FILE: the
    original's quickstart, all its options with their meaning.
    """
    with starting():
        from rgbench.cli.work import runs as work
        from rgbench.runs.original import OriginalOptions, parse_image_size

    if architectures is None:
        if data_path is not None or data_manifest is not None or mnist:
            raise typer.BadParameter("-d, -f and -X go with -a FILE, the networks to train", param_hint="-a")
        work.run_and_report("quickstart", results_path, device, console(), shipped=True)
        return
    options = OriginalOptions(
        architectures=architectures,
        num_classes=num_classes,
        data_path=data_path,
        data_manifest=data_manifest,
        img_size=parse_image_size(img_size),
        rotate=rotate,
        seed=seed,
        train_size=train_size,
        val_size=val_size,
        protocol=protocol,
        mnist=mnist,
    )
    work.run_original(options, only_test, work.Places(results_path, model_path, device), console())


StudyArgument = Annotated[
    str,
    typer.Argument(
        help="A study's TOML file, or the name of one that ships: quickstart, smoke, becker2021, ..."
    ),
]
ListenerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        "--listener",
        help="Who else is told how the study goes, by name: tensorboard, mlflow, or one of another package; may be "
        "repeated. docs/notebooks.md.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        help="Runs that are computed at the same time, by default one; each has its share of the processor's "
        "cores. With several, the inference rates of the report are measured beside other runs. With --slurm or "
        "--ray: runs that are submitted at the same time, by default 1000.",
    ),
]
CoresOption = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-run",
        rich_help_panel=MACHINES,
        min=1,
        help="Cores of each run in a job of a queue or in a share, by default 1.",
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-run",
        rich_help_panel=MACHINES,
        min=0,
        help="GPUs of each run on a queue; with --ray also a part of one, as 0.25 for four runs on each GPU. "
        "With --device cuda one by default.",
    ),
]
UntilDecidedOption = Annotated[
    bool,
    typer.Option(
        "--until-decided",
        help="Add two seeds at a time to networks that cannot be told apart, three times at most. The p-values of "
        "the report count that it was looked at more than once.",
    ),
]
HoursOption = Annotated[
    float | None,
    typer.Option(
        "--at-most",
        min=0,
        help="With --until-decided: begin no seeds that would end after so many hours.",
    ),
]


def run(
    study: StudyArgument,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    listener: ListenerOption = None,
    jobs: JobsOption = None,
    shard: ShardOption = None,
    job_script: JobScriptOption = None,
    slurm: SlurmOption = False,
    slurm_option: SlurmSettingOption = None,
    ray: RayOption = None,
    cpus_per_run: CoresOption = None,
    gpus_per_run: GpusOption = None,
    until_decided: UntilDecidedOption = False,
    at_most: HoursOption = None,
) -> None:
    """Run a study, print its table and write its report; what the store holds is not computed again.

    With --slurm or --ray each run is a job of a queue. All machines must see the store under the same path.
    """
    queue = QueueAsked.of(slurm, slurm_option, ray, shard, job_script)
    _check_queue_options(queue, jobs, cpus_per_run, gpus_per_run)
    _check_until_decided(queue, until_decided, at_most)
    with starting():
        from rgbench.cli.work import runs as work

    way = work.Way(jobs, queue, cpus_per_run or 1, gpus_per_run, until_decided, at_most)
    work.run_and_report(study, store, device, console(stderr=job_script is not None), listener or (), way=way)


def _check_until_decided(queue: QueueAsked, until_decided: bool, at_most: float | None) -> None:
    """Raise what ends the command if nobody could say which seeds to add, or hours are told for nothing."""
    if at_most is not None and not until_decided:
        raise typer.BadParameter("goes with --until-decided", param_hint="--at-most")
    if until_decided and (queue.share is not None or queue.job_script is not None):
        raise typer.BadParameter("needs all runs of the study at one place", param_hint="--until-decided")


def _check_queue_options(
    queue: QueueAsked, jobs: int | None, cpus_per_run: int | None, gpus_per_run: float | None
) -> None:
    """Raise what ends the command if options of queues are given where they mean nothing."""
    if cpus_per_run is not None and queue == NO_QUEUE:
        raise typer.BadParameter(
            "goes with --slurm, --ray, --shard or --job-script", param_hint="--cpus-per-run"
        )
    if gpus_per_run is not None and not (queue.elsewhere or queue.job_script):
        raise typer.BadParameter("goes with --slurm, --ray or --job-script", param_hint="--gpus-per-run")
    if queue.share is not None and jobs not in (None, 1):
        raise typer.BadParameter(
            "found more than 1 with --shard; give more shares instead", param_hint="--jobs"
        )


def runs(
    network: Annotated[
        str, typer.Option("--network", help="Only runs of this network; an alias will do.")
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: a list with a table for each run.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write a table instead: .csv, .parquet, .vot or .fits, by the ending."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """List the runs of a store: network, seed, data, scores, status, date and id.

    The id, its beginning or the name of a network is what --run of other commands takes.
    """
    from rgbench.cli.work import runs_list as work

    work.list_store(store, work.Listing(network, as_json, out, overwrite), console())


def report(
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write; by default report.html in the store.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            help="Metric that sorts the networks and is compared in pairs: macro-f1, accuracy, ...; by default MPCA.",
        ),
    ] = None,
    model: ModelOption = "best",
    table: Annotated[
        Path | None, typer.Option("--table", help="Also write the table, as .csv or .tex by the ending.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            help="Folder for every figure as SVG, PDF and CSV and every table as CSV and LaTeX. "
            "Files of the same names are replaced, as the report is.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="What weighs in the ranking, and how much: mpca=3,inference_images_per_second=1. By default "
            "mpca, inference_images_per_second, parameters and macs, in equal parts.",
        ),
    ] = None,
) -> None:
    """Compare the runs in the store, averaged over their seeds: table and HTML report."""
    with starting():
        from rgbench.cli.work import report as work
        from rgbench.cli.work.stored import check_model
        from rgbench.comparison.ranking import parse_weights
        from rgbench.measures.cards import MAIN
        from rgbench.report.of_store import ReportSpec

    spec = ReportSpec(
        out=out,
        metric=metric or MAIN,
        model=check_model(model),
        weights=None if weights is None else parse_weights(weights),
        figures=figures,
        table=table,
    )
    work.report(store, spec, console())


def predict(
    context: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(help="FITS files, or folders of them.")] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Table to write; its ending says how (see below).")
    ] = Path("predictions.csv"),
    classifier: ClassifierOption = None,
    run_id: RunChoiceOption = None,
    prior: PriorOption = None,
    card: Annotated[
        bool,
        typer.Option("--card", help="Show what the classifier is, its scores and limits; classify nothing."),
    ] = False,
    views: ViewsOption = None,
    pixel_scale: ImageScaleOption = None,
    plane: PlaneOption = None,
    model: ModelOption = "best",
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    engine: EngineOption = "torch",
    overwrite: OverwriteOption = False,
) -> None:
    """Classify FITS images; write class, calibrated probabilities and flags of each to a table.

    The exit code is 0 if every file was classified or flagged, 3 if the table is written but some files were set
    aside, 1 or 2 if there is no table.
    """
    with starting():
        from rgbench.cli.work import predict as work
        from rgbench.data.own.plan import parse_plane
        from rgbench.runs.seen import OwnImages

    if not paths and not card:
        raise typer.BadParameter("name FITS files, or folders of them", param_hint="PATHS")
    from_store = run_id is not None or given(context, "store")
    choice = work.Choice(classifier, run_id, from_store, model, store, device, views, engine)
    if card:
        work.show_card(choice, console())
        return
    own = OwnImages(pixel_scale, parse_plane(plane))
    work.predict(paths or [], choice, work.Table(out, overwrite, prior, own), console())


def export(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Ids of complete runs, or their beginnings, or the name of a network for all its seeds; several vote "
            "together. With --onnx also a classifier: a name as first-1, or its file.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name and version of the classifier made of runs, as first-1."),
    ] = None,
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx",
            help="Write an ONNX file, which other programs read without PyTorch. Needs pip install 'rgbench[onnx]'.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; by default NAME.safetensors, or NAME.onnx with --onnx."),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(
            "--views", help="With --onnx: views that the file averages, 1, 2, 4 or 8; by default its own."
        ),
    ] = None,
    model: ModelOption = "best",
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    overwrite: OverwriteFileOption = False,
) -> None:
    """Make one file of stored runs, with which rgbench predict classifies without the store.

    With --onnx: make an ONNX file of a classifier, of a run, or with --name of several runs.
    """
    with starting():
        from rgbench.cli.work import predict as work

    place = work.StorePlace(store, device)
    if onnx:
        wanted = work.OnnxExport(name, out, model, overwrite, views)
        work.export_onnx(models, wanted, place, console())
        return
    if name is None:
        raise typer.BadParameter(
            "names the classifier that is made of the runs, as mine-1", param_hint="--name"
        )
    if views is not None:
        raise typer.BadParameter("goes with --onnx; rgbench predict takes it too", param_hint="--views")
    file = out or Path(f"{for_file_name(name)}.safetensors")
    work.export(models, work.Export(name, file, model, overwrite), place, console())
