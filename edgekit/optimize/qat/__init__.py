"""Quantization-aware training (Jacob et al. 2018, arXiv:1712.05877) with TFMOT, and the conversion that it is for."""

from edgekit.optimize.qat.step import qat

__all__ = ["qat"]
