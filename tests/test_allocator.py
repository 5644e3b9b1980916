"""Freed memory stays with the process, as shown by the number of pages that it has to fetch."""

import subprocess
import sys

from tests.project import ROOT

FAULTS = """
import resource
from pipeline.running.freed_memory import keep_freed_memory
{call}
def large():
    bytes(64 << 20).count(1)
for _ in range(3):
    large()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    large()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    """The number of pages that five large allocations fetch after the first ones."""
    code = FAULTS.format(call=call)
    return int(subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True).stdout)


def test_a_large_allocation_finds_the_pages_of_the_last_one():
    assert faults("keep_freed_memory()") < faults("") / 10
