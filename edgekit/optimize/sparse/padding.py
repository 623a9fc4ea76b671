"""Where the windows of a convolution begin, and the kernel with equal padding that reads the same values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A convolution along one axis.

    Attributes:
        size: values before any padding.
        kernel: values in a window.
        stride: between two windows.
        before: zeros in front of the first value; the first window begins there.
        out: windows.
    """

    size: int
    kernel: int
    stride: int
    before: int
    out: int

    @property
    def after(self) -> int:
        """Zeros behind the last value that the last window reads; negative: values that no window reads."""
        return (self.out - 1) * self.stride + self.kernel - self.before - self.size


def same(size: int, kernel: int, stride: int) -> Window:
    """The window that TensorFlow's padding SAME means: the odd zero is at the end."""
    out = -(-size // stride)
    padding = max(0, (out - 1) * stride + kernel - size)
    return Window(size=size, kernel=kernel, stride=stride, before=padding // 2, out=out)


def explicit(size: int, kernel: int, stride: int, before: int, after: int) -> Window:
    """The window of padding VALID behind so many zeros."""
    return Window(
        size=size, kernel=kernel, stride=stride, before=before, out=(size + before + after - kernel) // stride + 1
    )


def offset_in(window: Window, kernel: int, *, flipped: bool) -> int | None:
    """Where the window's kernel lies in one of ``kernel`` values with ``kernel // 2`` zeros on both sides.

    None where no such kernel reads the same values. XNNPACK's sparse convolutions want equal padding on both sides;
    SAME on an even size with stride 2 has (0, 1). Read from the other end (``flipped``) that is (1, 0), and as many
    windows fit with (1, 1); or a larger kernel with zeros at one side begins earlier.
    """
    pad = kernel // 2
    offset = pad - (window.after if flipped else window.before)
    if not 0 <= offset <= kernel - window.kernel:
        return None
    out = (window.size + 2 * pad - kernel) // window.stride + 1
    return offset if out == window.out else None
