"""The POSIX shell script that gathers facts on a board, for dash, bash, busybox and Android's mksh."""

from __future__ import annotations

from edgekit.device import android_facts
from edgekit.device.profile import Sensor, Sensors
from edgekit.device.transport.protocol import quoted

# a command that is missing leaves its section empty, so these cost nothing on other boards
SENSORS = Sensors(
    temperature=Sensor(command=("vcgencmd", "measure_temp")),
    clock=Sensor(command=("vcgencmd", "measure_clock", "arm")),
    throttled=Sensor(command=("vcgencmd", "get_throttled")),
)

# $1 marker, $2 workspace. Files are read by the shell's own `read`: a process for each would take a Pi half a second,
# and a board may have neither sed, awk, od, tr nor head. The serial number of /proc/cpuinfo is not read at all: facts
# are stored and shared, and it names one owner's board.
_BEGIN = r"""
exec 2>/dev/null
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
mark=$1 workspace=$2
if [ -n "${KSH_VERSION-}" ]; then say() { print -r -- "$1"; }; else say() { printf '%s\n' "$1"; }; fi
section() { say ""; say "$mark $1"; }
get() { v=; [ -r "$1" ] && IFS= read -r v < "$1"; v=${v:--}; }
show() { [ -r "$1" ] || return 1; while IFS= read -r v || [ -n "$v" ]; do say "$v"; done < "$1"; }
has() { [ -n "$(command -v "$1")" ]; }
"""

# what a board is
_LASTING = r"""
section machine; uname -m || show /proc/sys/kernel/arch
section kernel; uname -r || show /proc/sys/kernel/osrelease
section system
if has getprop && [ -d /system ]; then say Android; else uname -s || show /proc/sys/kernel/ostype; fi
section properties
if has getprop; then
  for p in ro.build.version.release ro.build.fingerprint ro.product.manufacturer ro.product.model ro.hardware \
    ro.kernel.qemu; do say "$p $(getprop $p)"; done
fi
section long_bit; getconf LONG_BIT
section elf; od -An -tu1 -N20 "$(command -v sh)"
section maps
wide= libc=
while read -r range _ _ _ _ file; do
  case ${range%%-*} in ?????????*) wide=64 ;; *) wide=${wide:-32} ;; esac
  case $file in */libc.so*|*/libc-[0-9]*|*/ld-musl-*|*/libc.musl-*) libc=$file ;; esac
done < /proc/self/maps
say "$wide"; say "$libc"
section glibc
if has getconf; then getconf GNU_LIBC_VERSION; else
  case $libc in */libc.so.6|*/libc-[0-9]*) "$libc" </dev/null ;; esac
fi
section ldd
if has ldd; then ldd --version 2>&1; else case $libc in */ld-musl-*) "$libc" 2>&1 </dev/null ;; esac; fi
section os_release; show /etc/os-release || show /usr/lib/os-release
section os_build
for f in /etc/rpi-issue /etc/nv_tegra_release /etc/mendel_version; do get $f; [ "$v" = - ] || say "$v"; done
if [ -r /etc/armbian-release ]; then
  while IFS= read -r v; do case $v in BOARD=*|VERSION=*|BRANCH=*) say "armbian $v" ;; esac; done < /etc/armbian-release
fi
section python
for p in python3 python; do
  found=$(command -v $p) || continue
  "$found" -I -S -c 'import os, sys, struct
print(sys.executable or sys.argv[1])
print("%d.%d.%d %d" % (sys.version_info[:3] + (struct.calcsize("P") * 8,)))
try: print(os.confstr("CS_GNU_LIBC_VERSION"))
except Exception: pass' "$found" </dev/null && break
done
section cpuinfo
while IFS= read -r v; do
  case $v in
    processor*|"CPU part"*|"CPU implementer"*|Features*|"model name"*|vendor_id*|Revision*|Model*) say "$v" ;;
    flags*) say "$v"; break ;;
  esac
done < /proc/cpuinfo
section cores
for d in /sys/devices/system/cpu/cpu[0-9]*; do
  [ -d "$d" ] || continue
  get "$d/online"; [ "$v" = 0 ] && continue
  get "$d/cpufreq/cpuinfo_max_freq"; max=$v
  get "$d/cpufreq/scaling_cur_freq"; now=$v
  get "$d/regs/identification/midr_el1"; say "${d##*/cpu} $max $now $v"
done
section allowed
while read -r name v; do [ "$name" = Cpus_allowed_list: ] && say "$v"; done < /proc/self/status
tree=/sys/firmware/devicetree/base; [ -d $tree ] || tree=/proc/device-tree
section model; get $tree/model; [ "$v" = - ] || say "$v"
section compatible; tr '\000' '\n' < $tree/compatible || show $tree/compatible
section emulator; for f in $tree/fw-cfg*; do [ -e "$f" ] && say "${f##*/}"; done
section machine_name
for f in sys_vendor product_name; do get /sys/class/dmi/id/$f; [ "$v" = - ] || say "$v"; done
section container
[ -e /.dockerenv ] && say docker
[ -e /run/.containerenv ] && say podman
get /run/systemd/container; [ "$v" = - ] || say "$v"
while IFS= read -r v; do
  case $v in *docker*|*lxc*|*kubepods*|*libpod*|*containerd*) say "$v" ;; esac
done < /proc/1/cgroup
section home; home=$(cd && pwd -P); say "$home"
case $workspace in '~/'*) workspace=${home%/}/${workspace#??} ;; esac
section workspace; say "$workspace"
section disk; d=$workspace
while [ ! -d "$d" ] && [ "$d" != "${d%/*}" ]; do d=${d%/*}; done
df -Pk "${d:-/}"
"""

# what it is like now
_PASSING = r"""
section meminfo
while IFS= read -r v; do case $v in MemTotal:*|MemAvailable:*|MemFree:*) say "$v" ;; esac; done < /proc/meminfo
section load; show /proc/loadavg
section governor; show /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
section thermal
for z in /sys/class/thermal/thermal_zone*; do
  [ -d "$z" ] || continue
  get "$z/temp"; now=$v; get "$z/type"; say "$now $v"
done
section cooling
for c in /sys/class/thermal/cooling_device*; do
  get "$c/type"; kind=$v
  case $kind in *cpufreq*|Processor) get "$c/cur_state"; say "$v $kind" ;; esac
done
section firmware_throttled; show /sys/devices/platform/soc/soc:firmware/get_throttled
section boot_id; show /proc/sys/kernel/random/boot_id
section uptime; show /proc/uptime
"""

_NOW = r"""
section frequencies
for f in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq; do get "$f"; [ "$v" = - ] || say "$v"; done
"""


def script(sensors: Sensors) -> str:
    """The script, with the profile's own sensors in place of the usual ones."""
    return "\n".join([_BEGIN, _LASTING, _PASSING, android_facts.SECTIONS, *_readings(sensors), _END])


def script_now(sensors: Sensors) -> str:
    """The part of it that tells what a board is like at this moment: quick enough to be run between processes."""
    return "\n".join([_BEGIN, _PASSING, _NOW, android_facts.THERMAL_SECTION, *_readings(sensors), _END])


_END = "section end; :"


def _readings(sensors: Sensors) -> list[str]:
    found = []
    for kind in ("temperature", "clock", "throttled"):
        sensor: Sensor | None = getattr(sensors, kind) or getattr(SENSORS, kind)
        if sensor is None or sensor.zone:
            continue  # all thermal zones are read anyway
        read = (
            f"{quoted(sensor.command)} </dev/null" if sensor.command else f'get {quoted([sensor.file or ""])}; say "$v"'
        )
        found.append(f"section sensor:{kind}; {read}")
    return found
