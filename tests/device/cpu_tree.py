"""What a board has as ``/sys/devices/system/cpu``: files as the kernel of a big.LITTLE board shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class CpuTree:
    """A tree that a test's ssh server is given, and that the test may look into meanwhile.

    Args:
        folder: to be made.
        clusters: highest clock in kHz → its cores.
        governor: of every cluster.
        offline: cores that are not online.
        writable: ordinary users may change governors, as a udev rule may allow.
    """

    def __init__(
        self,
        folder: Path,
        clusters: dict[int, Sequence[int]],
        *,
        governor: str = "schedutil",
        offline: Sequence[int] = (),
        writable: bool = True,
    ) -> None:
        self.folder = folder
        cores = sorted(core for group in clusters.values() for core in group)
        for khz, group in clusters.items():
            policy = folder / "cpufreq" / f"policy{group[0]}"
            policy.mkdir(parents=True)
            rows = {
                "scaling_governor": governor,
                "scaling_available_governors": "powersave performance schedutil",
                "cpuinfo_max_freq": khz,
                "scaling_max_freq": khz,
                "scaling_min_freq": khz // 4,
                "scaling_cur_freq": khz // 2,
            }
            for name, value in rows.items():
                (policy / name).write_text(f"{value}\n")
                if writable and name in ("scaling_governor", "scaling_min_freq"):
                    (policy / name).chmod(0o666)
            for core in group:
                (folder / f"cpu{core}").mkdir()
                (folder / f"cpu{core}" / "online").write_text(f"{int(core not in offline)}\n")
                if core not in offline:
                    (folder / f"cpu{core}" / "cpufreq").symlink_to(f"../cpufreq/policy{group[0]}")
        for name in ("possible", "present", "online"):
            (folder / name).write_text(f"{cores[0]}-{cores[-1]}\n")
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)

    def governors(self) -> dict[str, str]:
        """Policy → what its governor is now."""
        found = sorted(self.folder.glob("cpufreq/policy*/scaling_governor"))
        return {path.parent.name: path.read_text().strip() for path in found}

    def least_clocks(self) -> dict[str, int]:
        """Policy → its least clock now, in kHz."""
        found = sorted(self.folder.glob("cpufreq/policy*/scaling_min_freq"))
        return {path.parent.name: int(path.read_text()) for path in found}

    def change(self, policy: str, governor: str) -> None:
        """Somebody on the board does this."""
        (self.folder / "cpufreq" / policy / "scaling_governor").write_text(f"{governor}\n")
