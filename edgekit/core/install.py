"""The commands that add what is missing."""

from __future__ import annotations

import sys

_TOO_OLD = "use Python 3.11, 3.12 or 3.13, then: " if sys.version_info < (3, 11) else ""

#: TensorFlow and what works with it
OPTIMIZE = f"{_TOO_OLD}pip install 'edgekit[optimize]'"
#: the quantizer for .tflite files, without TensorFlow
QUANTIZE = "pip install 'edgekit[quantize]'"
#: Android devices over adb
ANDROID = "pip install 'edgekit[android]'"
#: the compiler of the runner for boards without Python
NATIVE = "pip install 'edgekit[native]'"
