"""The POSIX shell script that gathers facts on a board, for dash, bash, busybox and toybox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.device.transport.protocol import quoted

# a command that is missing leaves its section empty, so these cost nothing on other boards
SENSORS: dict[str, tuple[str, ...]] = {
    "throttled": ("vcgencmd", "get_throttled"),
    "clock": ("vcgencmd", "measure_clock", "arm"),
    "temperature": ("vcgencmd", "measure_temp"),
}

# $1 marker, $2 workspace. Files are read by the shell's own `read`: a process for each would take a Pi half a second.
_SCRIPT = r"""
exec 2>/dev/null
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
mark=$1 workspace=$2
section() { printf '\n%s %s\n' "$mark" "$1"; }
value() { v=; [ -r "$1" ] && read -r v < "$1"; printf '%s ' "${v:--}"; }
section machine; uname -m
section kernel; uname -r
section system; if [ -n "$(command -v getprop)" ] && [ -d /system ]; then echo Android; else uname -s; fi
section long_bit; getconf LONG_BIT
section elf; od -An -tu1 -N20 "$(command -v sh)"
section glibc; getconf GNU_LIBC_VERSION
section ldd; ldd --version 2>&1 | head -n 2
section android; getprop ro.build.version.release
section os_release; cat /etc/os-release || cat /usr/lib/os-release
section python
for p in python3 python; do
  found=$(command -v $p) || continue
  "$found" -I -S -c 'import sys, struct
print(sys.executable or sys.argv[1])
print("%d.%d.%d %d" % (sys.version_info[:3] + (struct.calcsize("P") * 8,)))' "$found" </dev/null && break
done
section cpuinfo; head -n 60 /proc/cpuinfo
section cores
for d in /sys/devices/system/cpu/cpu[0-9]*; do
  [ -d "$d" ] || continue
  on=1; [ -r "$d/online" ] && read -r on < "$d/online"
  [ "$on" = 1 ] || continue
  printf '%s ' "${d##*/cpu}"; value "$d/cpufreq/cpuinfo_max_freq"; value "$d/cpufreq/scaling_cur_freq"; echo
done
section model; tr -d '\000' < /sys/firmware/devicetree/base/model
section emulator; ls /sys/firmware/devicetree/base | grep fw-cfg; cat /sys/firmware/devicetree/base/compatible
section meminfo; head -n 3 /proc/meminfo
section home; printf '%s\n' "$HOME"
case $workspace in '~/'*) workspace=$HOME/${workspace#??} ;; esac
section workspace; printf '%s\n' "$workspace"
section disk; d=$workspace
while [ ! -d "$d" ] && [ "$d" != "${d%/*}" ]; do d=${d%/*}; done
df -Pk "${d:-/}"
section load; cat /proc/loadavg
section governor; cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
section thermal
for z in /sys/class/thermal/thermal_zone*; do
  [ -d "$z" ] || continue
  value "$z/temp"; value "$z/type"; echo
done
section boot_id; cat /proc/sys/kernel/random/boot_id
section uptime; cat /proc/uptime
"""


def script(sensors: Mapping[str, Sequence[str]]) -> str:
    """The script, with the profile's own sensors in place of or beside the usual ones."""
    commands = {**SENSORS, **sensors}
    reading = [f"section {quoted([f'sensor:{name}'])}; {quoted(argv)} </dev/null" for name, argv in commands.items()]
    return "\n".join([_SCRIPT, *reading, "section end; :"])
