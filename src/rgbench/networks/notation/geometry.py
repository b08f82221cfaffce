"""Sizes and padding of sliding windows, by Keras' rules."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]
"""(rows, columns, channels) of a map, or (features,) of a vector."""
Pads = tuple[tuple[int, int], tuple[int, int]]
"""((top, bottom), (left, right)) in pixels."""


def output_size(size: int, kernel: int, stride: int, padding: str) -> int:
    """Give the length of one axis after a convolution or a pool.

    Parameters
    ----------
    size, kernel, stride : int
        Length of the axis, of the window, and the step, in pixels.
    padding : {"same", "valid", "pad1", "pad2", ...}
        ``same`` gives ``ceil(size / stride)``, ``valid`` ``floor((size - kernel) / stride) + 1``, and
        ``pad1`` is ``valid`` after one pixel is added on either side.

    Returns
    -------
    int
        Length of the output axis; 0 or less if the window does not fit.

    Examples
    --------
    >>> output_size(75, 2, 2, "same"), output_size(75, 2, 2, "valid"), output_size(150, 5, 1, "pad1")
    (38, 37, 148)
    """
    if padding == "same":
        return -(-size // stride)
    return (size + 2 * _fixed(padding) - kernel) // stride + 1


def padding_amounts(size: int, kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Give the padding before and after one axis; where the total is odd, the extra pixel comes after.

    Examples
    --------
    >>> padding_amounts(300, 3, 2, "same"), padding_amounts(75, 3, 2, "same")
    ((0, 1), (1, 1))
    """
    if padding != "same":
        return (_fixed(padding), _fixed(padding))
    covered = (output_size(size, kernel, stride, padding) - 1) * stride + kernel
    total = max(covered - size, 0)
    return (total // 2, total - total // 2)


@dataclass(frozen=True)
class Window:
    """A sliding window: kernel and stride are (rows, columns), padding is a word of the notation."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: str

    def slide(self, shape: Shape) -> tuple[int, int]:
        """Give (rows, columns) after the window has slid over a map; 0 or less if it does not fit."""
        return (
            output_size(shape[0], self.kernel[0], self.stride[0], self.padding),
            output_size(shape[1], self.kernel[1], self.stride[1], self.padding),
        )

    def pads(self, shape: Shape) -> Pads:
        """Give the pixels that are added around a map of this shape."""
        return (
            padding_amounts(shape[0], self.kernel[0], self.stride[0], self.padding),
            padding_amounts(shape[1], self.kernel[1], self.stride[1], self.padding),
        )


def _fixed(padding: str) -> int:
    return 0 if padding == "valid" else int(padding.removeprefix("pad"))
