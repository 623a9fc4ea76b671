"""Reads the request, answers it, ends."""

from __future__ import annotations

import json
import os
import sys

from .answer import FAILED, Failure, send, take_standard_output
from .probe import describe, probe
from .profile import profile
from .sampler import Sampler
from .sensors import SENSORS
from .surroundings import end_with_the_host, leave_inheritance, limit_time
from .trial import trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Reads the request, answers it, ends without running C++ destructors."""
    leave_inheritance()
    answer = take_standard_output()
    status = 0
    try:
        try:
            request = json.loads(sys.stdin.buffer.readline().decode())
            limit_time(request.get("time_limit_s"))
        except (ValueError, AttributeError) as error:
            raise Failure("request", "the request is not JSON: %s" % error) from error
        try:
            SENSORS.update({kind: dict(source) for kind, source in (request.get("sensors") or {}).items() if source})
        except (AttributeError, TypeError, ValueError) as error:
            raise Failure("request", "sensors in the request is not an object of sensors") from error
        mode = request.get("mode")
        sampler = Sampler(request) if mode == "latency" else None  # it is forked while there is one thread
        end_with_the_host(answer)
        answers = {"probe": probe, "describe": describe, "profile": profile}
        send(answer, answers[mode](request) if mode in answers else trial(request, sampler))
    except Failure as failure:
        status = FAILED
        send(answer, {"error": {"code": failure.code, "message": failure.message}})
    except MemoryError:
        status = FAILED
        send(answer, {"error": {"code": "out-of-memory", "message": "Python ran out of memory on the board"}})
    except Exception as error:  # noqa: BLE001 - the process boundary: whatever it was, the host must hear of it
        import traceback

        traceback.print_exc()
        status = FAILED
        send(answer, {"error": {"code": "unexpected", "message": "%s: %s" % (type(error).__name__, error)}})
    if sys.stderr is not None:
        sys.stderr.flush()
    os._exit(status)
