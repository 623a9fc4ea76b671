"""What a test's ssh server sees instead of this machine's own: accounts, disks, programs. Needs root that may mount."""

from __future__ import annotations

import shlex
from pathlib import Path

#: the server's own folder in its namespace; root's, so the users of the board cannot change it
PRIVATE = "/run/sshd"

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
pi:x:1000:1000::/home/pi:{shell}
pi2:x:1001:1001::/home/pi2:{shell}
sshd:x:101:65534::/run/sshd:/bin/false
"""
_GROUP = "root:x:0:\npi:x:1000:\npi2:x:1001:\nnogroup:x:65534:\n"
_SHADOW = "root:*:19000::::::\npi:{password}:19000::::::\npi2:*:19000::::::\nsshd:!:19000::::::\n"

# /tmp comes late: the folder that is copied from is in it. What hides programs comes last, because it needs them
_ENTER = """\
set -e
mount --make-rprivate /
for f in passwd group shadow; do mount --bind {folder}/$f /etc/$f; done
mount -t tmpfs -o size={disk_mb}m,mode=755{noexec} tmpfs /home
mkdir /home/pi /home/pi2 /home/readonly
chown 1000:1000 /home/pi; chown 1001:1001 /home/pi2; chmod 700 /home/pi2
mount -t tmpfs -o ro,size=1m tmpfs /home/readonly
mkdir -p {private} /run/lock; mount -t tmpfs -o size=16m,mode=755 tmpfs {private}
find {folder} -maxdepth 1 -type f -exec cp -p '{{}}' {private}/ ';'
mount -t tmpfs -o size=4m,mode=1777 tmpfs /run/lock
hostname raspberrypi
{programs}
mount -t tmpfs -o size=32m,mode=1777 tmpfs /tmp
exec {server}
"""

# every folder in which an ssh user's commands are looked for becomes one of links into the covered one
_WITHOUT = """\
for there in /usr/local/bin /usr/bin /bin /usr/games; do
  [ -d "$there" ] && [ ! -L "$there" ] || continue
  shown={private}/shown$there covered={private}/covered$there
  mkdir -p "$shown" "$covered"
  mount --bind "$there" "$covered"
  cp -rs "$covered/." "$shown/"
  (cd "$shown" && rm -f {patterns})
  mount --bind "$shown" "$there"
done
"""

# a copy, because /usr/bin/busybox is about to be covered
_BUSYBOX = """\
mkdir {private}/busybox
cp "$(command -v busybox)" {private}/busybox/busybox
{private}/busybox/busybox --install -s {private}/busybox
for there in /usr/bin /bin /usr/local/bin /usr/games; do
  [ -d "$there" ] && [ ! -L "$there" ] || continue
  mount --bind {private}/busybox "$there"
done
"""


def prepare(
    folder: Path,
    server: list[str],
    *,
    password: str,
    disk_mb: int,
    without: tuple[str, ...] = (),
    busybox: bool = False,
    noexec: bool = False,
    cpus: Path | None = None,
) -> list[str]:
    """Writes what the namespace is made of into ``folder``; returns the command that runs ``server`` in one.

    Args:
        password: of ``pi``, as crypt(3) writes it; ``*``: none is accepted.
        without: as :func:`sshd_board.start_sshd`; so are the rest.
    """
    (folder / "passwd").write_text(_PASSWD.format(shell="/bin/sh" if busybox else "/bin/bash"))
    (folder / "group").write_text(_GROUP)
    (folder / "shadow").write_text(_SHADOW.format(password=password))
    patterns = " ".join(f"{shlex.quote(name)} {shlex.quote(name)}[0-9.]*" for name in without)
    programs = _WITHOUT.format(private=PRIVATE, patterns=patterns) if without else ""
    programs += _BUSYBOX.format(private=PRIVATE) if busybox else ""
    programs += f"mount --bind {shlex.quote(str(cpus))} /sys/devices/system/cpu\n" if cpus else ""
    script = _ENTER.format(
        folder=shlex.quote(str(folder)),
        private=PRIVATE,
        disk_mb=disk_mb,
        noexec=",noexec" if noexec else "",
        programs=programs,
        server=shlex.join(server),
    )
    (folder / "enter.sh").write_text(script)
    return ["unshare", "-m", "-u", "sh", str(folder / "enter.sh")]
