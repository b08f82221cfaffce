"""What can be odd about an image, as bits."""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """What is odd about an image; bits of a catalogue's `flags`.

    Examples
    --------
    >>> print([flag.name for flag in Flag(40)])
    ['TRUNCATED', 'EMPTY']
    """

    BLANKED = 1
    """Some pixels are NaN."""
    UNUSABLE = 2
    """All pixels are equal, zero for instance: nothing can be learnt or said."""
    EMPTY_CENTRE = 4
    """Nothing in the central fifth of the field: the source may be elsewhere."""
    TRUNCATED = 8
    """The source reaches the edge of the field or a blanked pixel: size and flux density are lower limits."""
    OFF_CENTRE = 16
    """The source nearest to the centre lies far from it: it may be another one."""
    EMPTY = 32
    """No source stands out from the noise: there is no peak, flux density or size."""
    SATURATED = 64
    """Several pixels of the source share the highest value: the true peak may be higher."""
