"""The posed bones of a horse or zebra: chains of joints, each with the radius of the flesh around it.

Everything is measured in body coordinates: x runs forward from the rump (0) to the chest (1), y runs up
from the ground (0), and one unit is the length of the trunk. The stripe coordinate counts the same unit
along the body: up the neck and over the head, down each leg, out along the tail.
"""

from __future__ import annotations

import math
from typing import NamedTuple

NECK_PROFILE = ((0.0, 0.0, 0.19), (0.2, 0.03, 0.15), (0.38, 0.045, 0.115), (0.53, 0.01, 0.09))
"""The neck's joints: distance along the neck, height of the arch above it, and radius."""

MANE_FULLNESS = (0.4, 0.9, 1.0, 0.85)
"""The mane's width at each joint of the neck, as a share of its greatest."""


class Pose(NamedTuple):
    """Neck lift 0 (grazing) to 1 (raised); swings are shifts of the near hooves and of the tail's tip."""

    neck_lift: float
    front_swing: float
    hind_swing: float
    tail_swing: float


class Joint(NamedTuple):
    """A ball of flesh: its place, radius and stripe coordinate, and the degree to which it is an extremity (0..1)."""

    x: float
    y: float
    radius: float
    stripe: float = 0.0
    extremity: float = 0.0


class Part(NamedTuple):
    """A chain of joints. A fanned part takes its stripes from the trunk's fan instead of its joints."""

    joints: tuple[Joint, ...]
    fanned: bool = False


def trunk() -> Part:
    croup, loin = Joint(0.15, 0.73, 0.205), Joint(0.40, 0.705, 0.185)
    barrel, withers = Joint(0.62, 0.68, 0.205), Joint(0.83, 0.73, 0.205)
    return Part((croup, loin, barrel, withers), fanned=True)


def neck_direction(pose: Pose) -> tuple[float, float]:
    angle = math.radians(91 * pose.neck_lift - 34)
    return math.cos(angle), math.sin(angle)


def neck_joints(pose: Pose) -> tuple[Joint, ...]:
    forward, upward = neck_direction(pose)
    joints = []
    for along, arch, radius in NECK_PROFILE:
        x, y = 0.83 + along * forward - arch * upward, 0.74 + along * upward + arch * forward
        joints.append(Joint(x, y, radius, 0.83 + along))
    return tuple(joints)


def head_direction(pose: Pose) -> tuple[float, float]:
    angle = math.radians(32 * pose.neck_lift - 68)
    return math.cos(angle), math.sin(angle)


def on_head(pose: Pose, along: float, above: float) -> tuple[float, float]:
    """The point ``along`` the head from the poll towards the muzzle, and ``above`` the head's axis."""
    poll = neck_joints(pose)[-1]
    forward, upward = head_direction(pose)
    return poll.x + along * forward - above * upward, poll.y + along * upward + above * forward


def head(pose: Pose) -> Part:
    poll = neck_joints(pose)[-1]
    cheek = Joint(*on_head(pose, 0.10, -0.015), 0.098, poll.stripe + 0.12)
    bridge = Joint(*on_head(pose, 0.24, 0.0), 0.07, poll.stripe + 0.26, 0.1)
    muzzle = Joint(*on_head(pose, 0.36, -0.012), 0.063, poll.stripe + 0.38, 1.0)
    return Part((poll, cheek, bridge, muzzle))


def ear(pose: Pose, along: float) -> Part:
    stripe = neck_joints(pose)[-1].stripe
    root, tip = on_head(pose, along, 0.07), on_head(pose, along - 0.05, 0.185)
    return Part((Joint(*root, 0.038, stripe), Joint(*tip, 0.014, stripe, 0.6)))


def front_leg(swing: float, lift: float) -> Part:
    shoulder = Joint(0.83, 0.60, 0.13, 0.83)
    elbow = Joint(0.83 + 0.1 * swing, 0.47, 0.088, 0.74)
    knee = Joint(0.835 + 0.5 * swing, 0.27 + lift, 0.058, 0.54)
    fetlock = Joint(0.825 + 0.95 * swing, 0.10 + lift, 0.046, 0.37, 0.5)
    hoof = Joint(0.855 + swing, 0.045 + lift, 0.052, 0.30, 1.0)
    return Part((shoulder, elbow, knee, fetlock, hoof))


def hind_leg(swing: float, lift: float) -> Part:
    stifle = Joint(0.17 + 0.1 * swing, 0.54, 0.135, -0.05)
    gaskin = Joint(0.115 + 0.25 * swing, 0.42, 0.086, -0.17)
    hock = Joint(0.03 + 0.55 * swing, 0.30 + lift, 0.06, -0.29)
    fetlock = Joint(0.05 + 0.92 * swing, 0.105 + lift, 0.047, -0.49, 0.5)
    hoof = Joint(0.08 + swing, 0.045 + lift, 0.052, -0.55, 1.0)
    return Part((stifle, gaskin, hock, fetlock, hoof))


def tail(pose: Pose) -> Part:
    swing = pose.tail_swing
    dock = Joint(0.0, 0.84, 0.04, 0.0)
    bend = Joint(-0.085, 0.77, 0.04, -0.1)
    middle = Joint(-0.12 + 0.5 * swing, 0.60, 0.046, -0.27, 0.35)
    tuft = Joint(-0.125 + 0.85 * swing, 0.43, 0.056, -0.44, 1.0)
    tip = Joint(-0.115 + swing, 0.31, 0.02, -0.56, 1.0)
    return Part((dock, bend, middle, tuft, tip))


def along_crest(pose: Pose, sink: float, width: float) -> Part:
    """Hair along the top of the neck, sunk by a share of the neck's radius."""
    forward, upward = neck_direction(pose)
    joints = []
    for joint, fullness in zip(neck_joints(pose), MANE_FULLNESS, strict=True):
        rise = joint.radius * (1 - sink)
        joints.append(Joint(joint.x - upward * rise, joint.y + forward * rise, width * fullness, joint.stripe))
    forelock = Joint(*on_head(pose, 0.06, 0.08), 0.5 * width, joints[-1].stripe)
    return Part((*joints, forelock))


def bristly_mane(pose: Pose) -> Part:
    return along_crest(pose, sink=0.0, width=0.05)


def falling_mane(pose: Pose) -> Part:
    return along_crest(pose, sink=0.35, width=0.075)


def body(pose: Pose) -> list[Part]:
    neck = Part(neck_joints(pose))
    legs = [front_leg(pose.front_swing, 0.0), hind_leg(pose.hind_swing, 0.0)]
    return [trunk(), neck, head(pose), ear(pose, 0.05), *legs]


def far_side(pose: Pose) -> list[Part]:
    return [front_leg(-pose.front_swing, 0.03), hind_leg(-pose.hind_swing, 0.03), ear(pose, -0.01)]


def extent(pose: Pose) -> tuple[float, float, float]:
    """How far the posed animal reaches back (x), forward (x) and up (y), in body coordinates."""
    parts = [*body(pose), *far_side(pose), tail(pose), bristly_mane(pose)]
    joints = [joint for part in parts for joint in part.joints]
    back = min(joint.x - joint.radius for joint in joints)
    forward = max(joint.x + joint.radius for joint in joints)
    top = max(joint.y + joint.radius for joint in joints)
    return back - 0.02, forward + 0.02, top + 0.02
