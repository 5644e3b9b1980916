"""The public data sets of CycleGAN (Zhu, Park, Isola and Efros, ICCV 2017), and how to know their archives.

The sizes and sums are those that an independent public catalogue recorded for the same archives under an older address.
"""

from dataclasses import dataclass

from gcl.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """A public data set and how to know its archive."""

    name: str
    size: int
    sha256: str

    @property
    def archive(self) -> str:
        """The name of its file, here and on every server."""
        return f"{self.name}.zip"


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("apple2orange", 78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"),
        Dataset("cezanne2photo", 279885071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff"),
        Dataset("facades", 35135868, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0"),
        Dataset("horse2zebra", 116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"),
        Dataset("iphone2dslr_flower", 339964458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113"),
        Dataset("maps", 1476754427, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e"),
        Dataset("monet2photo", 305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"),
        Dataset(
            "summer2winter_yosemite", 132640856, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9"
        ),
        Dataset("ukiyoe2photo", 292946532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08"),
        Dataset("vangogh2photo", 306590349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff"),
    )
}

SOURCES = ("scenes", "folder", *DATASETS)
"""What ``data.source`` may be."""


def check_source(name: str) -> None:
    """UserError for a source that is not in SOURCES."""
    if name not in SOURCES:
        raise UserError(f"data.source = {name}: there is no such source; there are {', '.join(SOURCES)}")
