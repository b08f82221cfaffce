"""Sound inputs to begin with: a small simulated sky, a study of it, its store and classifier, a file of each kind."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from PIL import Image

from benchmarks.campaign import mutate
from benchmarks.campaign.mutate import Mutation

STUDY = """name = "tiny"
networks = ["lenet"]
seeds = [1]
protocol = "modern"
[data]
name = "folder"
path = "sky"
split = "becker2021"
train_size = 4
validation_size = 2
[images]
field = 130
size = 32
[recipe]
epochs = {epochs}
views = 1
precision = "float32"
"""
MOSAICS = 6
KERAS = Path(__file__).parents[2] / "tests/networks/keras"


@dataclass(frozen=True)
class Specimen:
    """A sound file: what is done with it (a name in `trials.TRIALS`), its name, and how it is broken."""

    trial: str
    name: str
    content: bytes
    mutations: tuple[Mutation, ...]

    @property
    def kind(self) -> str:
        """The trial and the file's ending."""
        return f"{self.trial} {''.join(Path(self.name).suffixes[-2:])}"


def make_ground(ground: Path) -> None:
    """Simulate, train, stress and export in a folder, which then is the working directory of all trials."""
    from rgbench.cli.app import main

    if (ground / "small-1.safetensors").exists():
        return
    ground.mkdir(parents=True, exist_ok=True)
    (ground / "study.toml").write_text(STUDY.format(epochs=2))
    (ground / "long.toml").write_text(STUDY.format(epochs=12))
    with contextlib.chdir(ground), contextlib.redirect_stdout(io.StringIO()):
        _command(main, "simulate", "sky", "-n", "32", "--side", "150")
        _command(main, "run", "study.toml", "--store", "store")
        (run,) = (Path("store") / "runs").iterdir()
        _command(main, "export", run.name, "--store", "store", "--name", "small-1")
    _make_mosaics(ground)


def _make_mosaics(ground: Path) -> None:
    """Paste simulated images into mosaics, each a shard of a survey of its own; the middle of each is in a table."""
    images = sorted((ground / "sky").glob("*/*.fits"))
    (ground / "mosaics").mkdir()
    places = []
    for number in range(MOSAICS):
        chosen = images[number::MOSAICS][:4]
        header = fits.getheader(chosen[0])
        pixels = [fits.getdata(path) for path in chosen]
        side = pixels[0].shape[0]
        header["CRVAL1"], header["CRVAL2"] = 150.0 + number, 20.0
        header["CRPIX1"] = header["CRPIX2"] = side + 0.5
        fits.writeto(ground / f"mosaics/m{number}.fits", np.block([pixels[:2], pixels[2:]]), header)
        middles = [(k + 0.5) * side - 0.5 for k in range(2)]
        at = WCS(header, naxis=2).pixel_to_world_values(middles * 2, np.repeat(middles, 2))
        places += list(zip(*at, strict=True))
    lines = ["name,ra,dec", *(f"s{number},{ra:.6f},{dec:.6f}" for number, (ra, dec) in enumerate(places))]
    (ground / "sky.csv").write_text("\n".join(lines) + "\n")


def _command(main: object, *arguments: str) -> None:
    try:
        main(list(arguments))  # type: ignore[operator]
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"rgbench {' '.join(arguments)} ended with {end.code}") from None


def specimens(ground: Path) -> list[Specimen]:
    """Give a sound file of each kind."""
    image = next(iter(sorted((ground / "sky/FRI").glob("*.fits")))).read_bytes()
    (run,) = sorted((ground / "store/runs").iterdir())
    tables = [Specimen("table", name, data, how) for name, data, how in _tables(ground)]
    stored = [
        Specimen("store", name, (run / name).read_bytes(), how)
        for name, how in (
            ("run.json", mutate.JSON),
            ("cost.json", mutate.JSON),
            ("predictions.parquet", mutate.BYTES),
            ("history.parquet", mutate.BYTES),
            ("best.safetensors", mutate.TENSORS),
        )
    ]
    return [
        Specimen("predict", "a.fits", image, mutate.FITS),
        Specimen("predict", "a.fits.gz", gzip.compress(image, 1, mtime=0), _in_gzip(mutate.FITS)),
        Specimen("predict", "a.fits.fz", _compressed(image), mutate.FITS),
        Specimen("check", "a.fits", image, mutate.FITS),
        Specimen("check", "s.h5", _stack(image), mutate.HDF5),
        Specimen("check", "a.png", _png(image), mutate.BYTES),
        *tables,
        *(
            Specimen("keras", path.name, path.read_bytes(), mutate.HDF5)
            for path in sorted(KERAS.glob("*.h5"))
        ),
        Specimen("keras", "model.keras", _keras_zip(), mutate.ZIP),
        Specimen("study", "study.toml", (ground / "study.toml").read_bytes(), mutate.TEXT),
        Specimen("pickle", "batch.pkl", _batch(), mutate.BYTES),
        Specimen("batches", "batches.tar.gz", _tar(), mutate.TAR),
        Specimen("archive", "files.tar.gz", _tar(), mutate.TAR),
        Specimen("archive", "files.zip", _zip(), mutate.ZIP),
        *stored,
        Specimen(
            "classifier", "c.safetensors", (ground / "small-1.safetensors").read_bytes(), mutate.TENSORS
        ),
    ]


def _in_gzip(mutations: tuple[Mutation, ...]) -> tuple[Mutation, ...]:
    return (*(mutate.inside_gzip(each) for each in mutations), *mutate.BYTES)


def _compressed(image: bytes) -> bytes:
    buffer = io.BytesIO()
    with fits.open(io.BytesIO(image)) as units:
        made = fits.CompImageHDU(units[0].data, units[0].header, compression_type="RICE_1", quantize_method=1)
        fits.HDUList([fits.PrimaryHDU(), made]).writeto(buffer)
    return buffer.getvalue()


def _stack(image: bytes) -> bytes:
    """Give an HDF5 file of three images and their names."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset(
            "images", data=np.stack([fits.getdata(io.BytesIO(image))] * 3), compression="gzip"
        )
        file["names"] = ["a", "b", "c"]
    return buffer.getvalue()


def _png(image: bytes) -> bytes:
    pixels, buffer = fits.getdata(io.BytesIO(image)), io.BytesIO()
    grey = 255 * (pixels - pixels.min()) / np.ptp(pixels)
    Image.fromarray(grey.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def _tables(ground: Path) -> list[tuple[str, bytes, tuple[Mutation, ...]]]:
    table = Table.read(ground / "sky/truth.csv", format="ascii.csv", comment="#")[
        "source_id", "class", "ra", "dec", "path"
    ]
    table = table[:6]
    table["ra"].unit = table["dec"].unit = "deg"
    made = {}
    for name, kind in (("t.ecsv", "ascii.ecsv"), ("t.vot", "votable"), ("t.fits", "fits")):
        path = ground / name
        table.write(path, format=kind, overwrite=True)
        made[name] = path.read_bytes()
        path.unlink()
    csv = io.StringIO()
    table.write(csv, format="ascii.csv")
    parquet = io.BytesIO()
    pq.write_table(pa.table({name: table[name].tolist() for name in table.colnames}), parquet)
    return [
        ("t.csv", csv.getvalue().encode(), mutate.TEXT),
        ("t.csv.gz", gzip.compress(csv.getvalue().encode(), 1, mtime=0), _in_gzip(mutate.TEXT)),
        ("t.ecsv", made["t.ecsv"], mutate.TEXT),
        ("t.vot", made["t.vot"], mutate.TEXT),
        ("t.fits", made["t.fits"], mutate.FITS),
        ("t.parquet", parquet.getvalue(), mutate.BYTES),
    ]


def _batch() -> bytes:
    data = [np.full(16, n, np.uint8) for n in range(3)]
    batch = {"labels": [0, 1, 0], "filenames": ["a.png", "b.png", "c.png"], "data": data, "batch_label": "1"}
    return pickle.dumps(batch, protocol=3)


def _tar() -> bytes:
    buffer = io.BytesIO()
    meta = pickle.dumps({"label_names": ["FRI", "FRII"]}, protocol=3)
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as file:
        for name, content in (
            ("b/data_batch_1", _batch()),
            ("b/test_batch", _batch()),
            ("b/batches.meta", meta),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a.txt", "b/c.txt"):
            file.writestr(zipfile.ZipInfo(name), name * 50)
    return buffer.getvalue()


def _keras_zip() -> bytes:
    """Give what Keras 3 writes, with too little inside to be a model."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in (
            ("metadata.json", {"keras_version": "3.0"}),
            ("config.json", {"class_name": "Sequential"}),
        ):
            file.writestr(zipfile.ZipInfo(name), json.dumps(content))
    return buffer.getvalue()


def copy_store(ground: Path, place: Path) -> Path:
    """Copy the ground's store to a new place; give the directory of its run."""
    shutil.copytree(ground / "store", place)
    (run,) = (place / "runs").iterdir()
    return run
