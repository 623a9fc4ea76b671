"""Asks a board that is new in the inventory what it is: short, nobody is asked, no host key is trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.core.errors import AuthenticationError, DeviceError, EdgekitError, HostKeyError
from edgekit.core.notice import Notice
from edgekit.device.connect import connect
from edgekit.device.facts import gather
from edgekit.device.profile import all_profiles
from edgekit.device.profile_check import Proposal, proposals
from edgekit.device.target import Target

_TIMEOUT_S = 3.0  # a board in the same room answers at once; one that is off shall not keep a person waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What came out of asking.

    Attributes:
        proposal: the profile that fits best; None: the board could not be asked, or nothing fits.
        others: further profiles that fit, the better ones first.
        complaint: why there is no proposal; empty where there is one.
        hint: what to do then.
        notices: profiles that could not be considered.
    """

    proposal: Proposal | None = None
    others: tuple[Proposal, ...] = ()
    complaint: str = ""
    hint: str = ""
    notices: tuple[Notice, ...] = ()


def probe(target: Target) -> Probed:
    """Connects where the host key is known already, and compares what the board says with every profile.

    A board that cannot be asked is no error: it may be switched off while somebody fills the inventory.
    """
    known, notices = all_profiles()
    again = f"edgekit devices check {target.name}"
    try:
        with connect(target, ask=None, timeout_s=_TIMEOUT_S) as device:
            facts = gather(device.transport, device.profile, timeout_s=4 * _TIMEOUT_S)
    except HostKeyError as error:
        hint = f"edgekit devices trust {target.name}, then {again}: it proposes a profile"
        return Probed(complaint=error.message, hint=hint, notices=notices)
    except AuthenticationError as error:
        hint = f"{error.hint}; then {again}: it proposes a profile" if error.hint else again
        return Probed(complaint=error.message, hint=hint, notices=notices)
    except DeviceError as error:
        hint = f"when the board answers: {again}; it proposes a profile"
        if target.ssh and not re.search(r"[.:]", target.ssh.alias) and "no such host name" in error.message:
            phone = f"edgekit devices add {target.name} --profile android-arm64-adb --replace"
            hint = f"if that is the serial number of a phone (`adb devices`): {phone}; else, {hint}"
        return Probed(complaint=error.message, hint=hint, notices=notices)
    except EdgekitError as error:  # a configuration of ssh that cannot be followed
        return Probed(complaint=error.message, hint=error.hint or again, notices=notices)
    profiles = [profile for profile, _ in known.values()]
    found = proposals(facts, profiles, transport=target.profile.transport)
    if not found:
        said = facts.abi or facts.machine or "nothing"
        hint = f"`edgekit devices add {target.name} --profile P --replace`, with a profile of your own"
        return Probed(complaint=f"no profile fits what it says about itself ({said})", hint=hint, notices=notices)
    return Probed(proposal=found[0], others=found[1:], notices=notices)
