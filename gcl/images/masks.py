"""The classes of masks, whose ids say which part of a drawn scene each pixel belongs to."""

from __future__ import annotations

CLASSES = ("sky", "hills", "ground", "animal")
SKY, HILLS, GROUND, ANIMAL = range(len(CLASSES))
