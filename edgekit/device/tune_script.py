"""The POSIX shell script that tunes a board and puts it back, for dash, bash, busybox and Android's mksh."""

from __future__ import annotations

#: $1 apply or restore, $2 workspace. Prints ``OUTCOME VALUE PATH`` for each setting; nothing where there is none. The
#: journal is read as data: what is written back, perhaps as root, are governors' names into governors' files only.
TUNE = r"""
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
mode=$1 journal=$2/tune.journal
boot=-; [ -r /proc/sys/kernel/random/boot_id ] && IFS= read -r boot < /proc/sys/kernel/random/boot_id
get() { v=; [ -r "$1" ] && IFS= read -r v < "$1"; [ -n "$v" ]; } 2>/dev/null
word() { case $1 in '' | *[!a-z_]*) return 1 ;; esac; }
ours() {
  case $1 in *..* | *[!A-Za-z0-9_/]*) return 1 ;; esac
  case $1 in /sys/devices/system/cpu/*/scaling_governor) return 0 ;; esac
  return 1
}
# put VALUE FILE: true once the file says so
put() {
  { printf '%s\n' "$1" > "$2"; } 2>/dev/null
  get "$2" && [ "$v" = "$1" ] && return 0
  [ -n "$(command -v sudo)" ] || return 1
  sudo -n sh -c 'printf "%s\n" "$1" > "$2"' put "$1" "$2" </dev/null >/dev/null 2>&1
  get "$2" && [ "$v" = "$1" ]
}
hold() { cmd power set-fixed-performance-mode-enabled "$1" </dev/null >/dev/null 2>&1; }
can_hold() {
  [ -n "$(command -v cmd)" ] && [ -n "$(command -v getprop)" ] || return 1
  case $(cmd power help </dev/null 2>/dev/null) in *set-fixed-performance-mode-enabled*) return 0 ;; esac
  return 1
}

restore() {
  [ -f "$journal" ] && [ ! -L "$journal" ] || { rm -f -- "$journal"; return 0; }
  { IFS= read -r line; } < "$journal"
  [ "$line" = "boot $boot" ] || { rm -f -- "$journal"; return 0; }
  complete=yes
  while read -r what old file; do
    case $what in
      governor)
        word "$old" && ours "$file" || continue
        if ! get "$file"; then v=gone; fi
        if [ "$v" = "$old" ]; then continue; fi
        if [ "$v" != performance ]; then echo "changed $v $file"; continue; fi
        if put "$old" "$file"; then echo "restored $old $file"; else echo "failed $old $file"; complete=; fi ;;
      fixed-performance)
        if hold false; then echo "restored off fixed-performance"
        else echo "failed off fixed-performance"; complete=; fi ;;
    esac
  done < "$journal"
  [ -z "$complete" ] || rm -f -- "$journal"
}

if [ "$mode" = restore ]; then restore; exit 0; fi

# what is to be changed is on the disk before it is changed
umask 077
mkdir -p -- "$2" || exit 1
restore > /dev/null
[ ! -e "$journal" ] || { echo "what an earlier command has changed could not be put back" >&2; exit 1; }
todo=
for file in /sys/devices/system/cpu/cpufreq/policy[0-9]*/scaling_governor; do
  get "$file" || continue
  old=$v
  word "$old" || continue
  if [ "$old" = performance ]; then echo "already $old $file"; continue; fi
  if get "${file%/*}/scaling_available_governors"; then
    case " $v " in *' performance '*) ;; *) echo "unsupported $old $file"; continue ;; esac
  fi
  todo="$todo$old $file
"
done
fixed=; can_hold && fixed=yes
[ -n "$todo$fixed" ] || exit 0
{
  echo "boot $boot"
  printf '%s' "$todo" | while read -r old file; do echo "governor $old $file"; done
  [ -z "$fixed" ] || echo "fixed-performance off -"
} > "$journal.part" && sync && mv -- "$journal.part" "$journal" || exit 1
sync
printf '%s' "$todo" | while read -r old file; do
  if put performance "$file"; then echo "set $old $file"; else echo "denied $old $file"; fi
done
if [ -n "$fixed" ]; then
  if hold true; then echo "set off fixed-performance"; else echo "unsupported off fixed-performance"; fi
fi
exit 0
"""
