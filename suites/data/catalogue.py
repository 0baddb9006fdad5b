"""The data sets: what they are, who publishes them, and how a copy is recognised.

A file is recognised by its bytes where the publisher's file is used as it is, and by its content
where the data folder holds another packing of it. None of the addresses could be tried where this
was written (no network there); each comment says which public code vouches for one.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bench.errors import UserError

ContentKind = Literal["recordings", "images"]


@dataclass(frozen=True)
class Content:
    """What a packed file holds, whichever way it is packed.

    Attributes:
        kind: how members are named and digested, see `suites.data.contents`.
        sha256: digest over the sorted members' names and digests.
        counts: how many of what, in words that a message can use.
    """

    kind: ContentKind
    sha256: str
    counts: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """Say how many of what."""
        return " with ".join(f"{number:,} {what}" for what, number in self.counts)


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: where it lies in the data folder.
        url: where its publisher has it; None where it is derived from another file.
        digest: `md5:` or `sha256:` and the digest of what lies at `url`.
        size_bytes: size of what lies at `url`, where known.
        content: what it holds, where the publisher packs it in another way; else None, and the
            file is the publisher's, byte for byte.
    """

    path: str
    url: str | None
    digest: str
    size_bytes: int | None = None
    content: Content | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class DataSet:
    """Files that are published together.

    Attributes:
        name: how commands call it.
        description: one sentence.
        licence: the publisher's terms.
        home_page: where to read about it.
        files: what the data folder holds of it.
    """

    name: str
    description: str
    licence: str
    home_page: str
    files: tuple[DataFile, ...]

    @property
    def needed(self) -> tuple[DataFile, ...]:
        """The files that cannot be derived from others."""
        return tuple(file for file in self.files if file.url is not None)

    @property
    def how_to_get(self) -> str:
        """One line for somebody who lacks it."""
        return (
            f"`sparsebench data fetch {self.name}`, or `sparsebench data add {self.name} PATH` "
            f"with a copy of your own"
        )

    def file(self, name: str) -> DataFile:
        """Return the file of that name."""
        for file in self.files:
            if file.name == name:
                return file
        raise UserError(
            f"{self.name} has no file {name!r}; it has {', '.join(f.name for f in self.files)}"
        )


# As torchvision's datasets/mnist.py lists them, whose md5 sums are those of these very bytes.
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"

MNIST = DataSet(
    name="mnist",
    description="60,000 + 10,000 images of handwritten digits, 28x28",
    licence="CC BY-SA 3.0 (LeCun, Cortes)",
    home_page="http://yann.lecun.com/exdb/mnist/",
    files=(
        DataFile(
            "mnist/train-images-idx3-ubyte.gz",
            _MNIST + "train-images-idx3-ubyte.gz",
            "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            9_912_422,
        ),
        DataFile(
            "mnist/train-labels-idx1-ubyte.gz",
            _MNIST + "train-labels-idx1-ubyte.gz",
            "md5:d53e105ee54ea40749a09fcbcd1e9432",
            28_881,
        ),
        DataFile(
            "mnist/t10k-images-idx3-ubyte.gz",
            _MNIST + "t10k-images-idx3-ubyte.gz",
            "md5:9fb629c4189551a2d022fa330f9573f3",
            1_648_877,
        ),
        DataFile(
            "mnist/t10k-labels-idx1-ubyte.gz",
            _MNIST + "t10k-labels-idx1-ubyte.gz",
            "md5:ec29112dd5afa0611ce80d1b7f02629c",
            4_542,
        ),
    ),
)

ASSAMESE = DataSet(
    name="assamese",
    description="183 Assamese characters by 45 writers: 8,235 pen recordings",
    licence="CC BY 4.0, DOI 10.24432/C50C8Q (Baruah, Hazarika 2015)",
    home_page="https://archive.ics.uci.edu/dataset/208/",
    files=(
        DataFile(
            "assamese/assamese_raw_txt.tar.gz",
            # The address in SparseConvNet's examples; size and digest as others who downloaded it
            # have recorded them. Besides the recordings it holds a table in PDF, mixed .TXT and
            # .txt, and W6/15.5.TXT, a second copy of W6's 15.6.
            "https://archive.ics.uci.edu/ml/machine-learning-databases/00208/"
            "Online%20Handwritten%20Assamese%20Characters%20Dataset.rar",
            "sha256:d6ad543e65269d53e38fdac6a32dd20bcd942e7616891a6cf95986894b454a4d",
            8_067_448,
            Content(
                "recordings",
                "8f1d40f1a0b45c7c202cc44d0762efc82f0422ec4df298eb6932746b51c68470",
                (("recordings", 8_235), ("points", 1_805_877)),
            ),
        ),
    ),
)

CALTECH101 = DataSet(
    name="caltech101",
    description="9,144 photographs in 101 classes and a background class, about 300x200",
    licence="CC BY 4.0, DOI 10.22002/D1.20086",
    home_page="https://data.caltech.edu/records/mzrjq-6wc02",
    files=(
        DataFile(
            "caltech101/101_ObjectCategories.tar.gz",
            # As many public downloaders have it, with this md5; 101_ObjectCategories.tar.gz lies
            # inside.
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "md5:3138e1922a9193bfa496528edbbc45d0",
            None,
            Content(
                "images",
                "46c20f48f03648488d518a9c3b9d5de92e5e863dcb69476387824adc33232631",
                (("images", 9_144),),
            ),
        ),
    ),
)

# Both repositories hold these paths; digests are of the copies that this project has measured on.
_SMALL_GICP = "https://raw.githubusercontent.com/koide3/small_gicp/master/data/"
_SPCONV = "https://raw.githubusercontent.com/traveller59/spconv/v2.1.10/test/data/"

POINTCLOUDS = DataSet(
    name="pointclouds",
    description="3D scenes from LiDAR: small_gicp's two scans and spconv's benchmark scene",
    licence="MIT (small_gicp); Apache-2.0 (spconv)",
    home_page="https://github.com/koide3/small_gicp, https://github.com/traveller59/spconv",
    files=(
        DataFile(
            "pointclouds/small_gicp_source.ply",
            _SMALL_GICP + "source.ply",
            "sha256:f94fd33a33121dcc24d47e61d8cdbe75e6ecdad8bff1df176735cc6872967b82",
            1_116_940,
        ),
        DataFile(
            "pointclouds/small_gicp_target.ply",
            _SMALL_GICP + "target.ply",
            "sha256:e754d477ebaebba42a0e036e856f6bfdca964e8e092d3f823b5b45427bec3445",
            1_105_676,
        ),
        DataFile(
            "pointclouds/spconv_benchmark-pc.npz",
            _SPCONV + "benchmark-pc.npz",
            "sha256:a1002388b38828b32a70570d7b26488be8ec855e41206bd497d84c9f611da598",
            2_377_818,
        ),
        DataFile(
            "pointclouds/spconv_test_spconv.npz",
            # The publisher has these voxels as a pickle only, and a pickle is never opened here:
            # they follow exactly from the benchmark scene, see `suites.data.pointclouds`.
            None,
            "sha256:0a0544c5f3ecfdcc44f3d989f672a2304deff13722279a261d34503792902913",
            1_525_652,
        ),
    ),
)

CATALOGUE = (MNIST, ASSAMESE, CALTECH101, POINTCLOUDS)


def data_set(name: str) -> DataSet:
    """Return the data set of that name.

    Raises:
        UserError: if there is none.
    """
    for candidate in CATALOGUE:
        if candidate.name == name:
            return candidate
    names = ", ".join(known.name for known in CATALOGUE)
    raise UserError(f"there is no data set {name!r}; there are {names}")
