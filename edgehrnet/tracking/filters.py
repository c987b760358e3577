"""Smooth points as they come: One-Euro, and a Kalman filter for constant velocity.

A filter holds the K points of one instance. `Filter.update` takes the points of the next frame and says which of them
were predicted. A point that is not confident is not followed. It moves on with its last velocity, which fades, for at
most ``max_gap`` seconds. After that the point starts anew from what the network says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]
FADE = 0.2  # s; time in which the velocity of a predicted point falls to 1/e


@dataclass(frozen=True)
class OneEuro:
    """Settings of the One-Euro filter (Casiez, Roussel and Vogel, CHI 2012).

    It is a low-pass filter whose cutoff rises with the speed of the point: still points are smoothed most, and fast
    ones lag least. Speeds are in pixels of the network's input, so that settings do not depend on the picture's size.

    >>> OneEuro(beta=-1)
    Traceback (most recent call last):
    edgehrnet.errors.InputError: beta=-1; must be a number of at least 0
    """

    min_cutoff: float = 2.0
    """Cutoff in Hz of a point at rest. Lower: less jitter."""
    beta: float = 0.015
    """Cutoff in Hz added per px/s. Higher: less lag."""
    speed_cutoff: float = 3.0
    """Cutoff in Hz for the speed itself."""

    def __post_init__(self) -> None:
        check_setting("min_cutoff", self.min_cutoff, above=True)
        check_setting("beta", self.beta)
        check_setting("speed_cutoff", self.speed_cutoff, above=True)

    def start(self, count: int) -> Filter:
        """Return a filter for ``count`` points."""
        return _OneEuroFilter(self, count)


@dataclass(frozen=True)
class Kalman:
    """Settings of a Kalman filter whose points move with constant velocity, disturbed by white acceleration.

    The model is number 3.1 in Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation
    (2001), section 6.2. Only the ratio of the two noises matters.
    """

    agility: float = 25.0
    """Disturbance: the standard deviation of the velocity's change in a second, in units of the points' noise, per
    second. Higher: less lag, more jitter."""

    def __post_init__(self) -> None:
        check_setting("agility", self.agility, above=True)

    def start(self, count: int) -> Filter:
        """Return a filter for ``count`` points."""
        return _KalmanFilter(self, count)


class Filter(Protocol):
    """The state of K points."""

    def update(self, xy: Points, seen: Mask, dt: float, scale: float, max_gap: float) -> tuple[Points, Mask]:
        """Take the points of the next frame.

        Args:
            xy: ``(K, 2)`` in pixels of the picture.
            seen: ``(K,)``, True for confident points.
            dt: Seconds since the last frame, above 0.
            scale: Pixels of the network's input per pixel of the picture.
            max_gap: Seconds for which a point is predicted at most.

        Returns:
            Smoothed points ``(K, 2)``, and ``(K,)`` True for those that were predicted.
        """
        ...


class _State:
    """Positions, velocities and ages shared by both filters."""

    def __init__(self, count: int) -> None:
        self.xy, self.velocity = np.zeros((count, 2)), np.zeros((count, 2))
        self.age = np.full(count, np.inf)  # s since the point was last confident

    def advance(self, seen: Mask, dt: float, max_gap: float) -> tuple[Mask, Mask]:
        """Return which points go on from their state, and which of these are predicted."""
        age = self.age + dt
        known = age <= max(max_gap, dt)
        self.age = np.where(seen, 0.0, np.where(known, age, np.inf))
        return known, known & ~seen

    def coast(self, predicted: Mask, dt: float) -> None:
        """Let the velocity of predicted points fade."""
        self.velocity[predicted] *= math.exp(-dt / FADE)


class _OneEuroFilter(_State):
    def __init__(self, settings: OneEuro, count: int) -> None:
        super().__init__(count)
        self.settings = settings
        self.last = np.zeros((count, 2))  # points before smoothing
        self.pull = np.zeros((count, 2))  # px/s, with which smoothed points follow. It sets the cutoff.

    def update(self, xy: Points, seen: Mask, dt: float, scale: float, max_gap: float) -> tuple[Points, Mask]:
        known, predicted = self.advance(seen, dt, max_gap)
        followed, new = known & seen, ~known
        speed_share = _share(np.asarray(self.settings.speed_cutoff), dt)
        self.velocity[followed] += speed_share * ((xy - self.last) / dt - self.velocity)[followed]
        self.pull[followed] += speed_share * ((xy - self.xy) / dt - self.pull)[followed]
        self.coast(predicted, dt)
        speed = np.hypot(*self.pull.T) * scale
        share = _share(self.settings.min_cutoff + self.settings.beta * speed, dt)[:, None]
        self.xy[followed] += (share * (xy - self.xy))[followed]
        self.xy[predicted] += self.velocity[predicted] * dt
        self.xy[new], self.velocity[new], self.pull[new] = xy[new], 0.0, 0.0
        self.last = np.where(predicted[:, None], self.xy, xy)
        return self.xy.copy(), predicted


def _share(cutoff: NDArray[np.float64], dt: float) -> NDArray[np.float64]:
    """Return the weight of the newest value in a first-order low-pass filter with a cutoff in Hz."""
    turned = 2 * math.pi * cutoff * dt
    return np.asarray(turned / (1 + turned))


class _KalmanFilter(_State):
    START = np.array([[1.0, 0.0], [0.0, 1e6]])  # covariance of position and velocity, in units of the points' noise

    def __init__(self, settings: Kalman, count: int) -> None:
        super().__init__(count)
        self.settings = settings
        self.covariance = np.tile(self.START, (count, 1, 1))

    def update(self, xy: Points, seen: Mask, dt: float, scale: float, max_gap: float) -> tuple[Points, Mask]:  # noqa: ARG002
        known, predicted = self.advance(seen, dt, max_gap)
        followed, new = known & seen, ~known
        move = np.array([[1.0, dt], [0.0, 1.0]])
        noise = self.settings.agility**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        self.xy += self.velocity * dt
        self.covariance = move @ self.covariance @ move.T + noise
        gain = self.covariance[:, :, 0] / (self.covariance[:, 0, 0] + 1)[:, None]
        error = xy - self.xy
        self.xy[followed] += (gain[:, :1] * error)[followed]
        self.velocity[followed] += (gain[:, 1:] * error)[followed]
        # One row per point: what the measurement told is taken from the covariance.
        self.covariance[followed] -= (gain[:, :, None] * self.covariance[:, :1])[followed]
        self.coast(predicted, dt)
        self.xy[new], self.velocity[new], self.covariance[new] = xy[new], 0.0, self.START
        return self.xy.copy(), predicted


def check_setting(name: str, value: float, *, above: bool = False) -> None:
    """Raise InputError unless a setting is a finite number of at least 0, or above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (above and value == 0):
        raise InputError(f"{name}={value!r}; must be a number {'above' if above else 'of at least'} 0")
