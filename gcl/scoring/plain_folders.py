"""Plain folders of PNGs that stand for the splits of a prepared data set, so that the metrics can read them."""

from collections.abc import Mapping
from pathlib import Path

from gcl.images.prepared import Prepared


class PlainFolders(Prepared):
    """The folders that are ``given`` for testB and, perhaps, for testA and trainB.

    ``paired`` says whether testB holds the true translations of testA. Metrics of sets look at the sizes of the images
    in all splits; a split that is not given is stood in for by ``outputs`` or testB, which they look at anyway.
    """

    def __init__(self, given: Mapping[str, Path], outputs: Path, paired: bool):
        self.folders = {"testA": outputs, "trainB": given["testB"], **given}
        self.given, self.paired = given, paired

    def split(self, name: str) -> Path:
        """The folder that stands for testA, testB or trainB."""
        return self.folders[name]

    def count(self, name: str) -> int:
        """The number of images in the folder that was given for the split ``name``; 0 if none was given."""
        return len(self.images(name)) if name in self.given else 0
