"""The POSIX shell script that tunes a board and puts it back, for dash, bash, busybox and Android's mksh."""

from __future__ import annotations

#: below the workspace; the lock's holder on the board knows the two names too (:mod:`edgekit.device.lock_script`)
JOURNAL, SCRIPT = "tune.journal", "tune.sh"

#: $1 apply or restore, $2 workspace; $3 of apply: this script, which is left there for the lock's holder. Prints
#: ``OUTCOME VALUE PATH`` for each setting; nothing where there is none. The journal is read as data: what is written
#: back, perhaps as root, are governors' names and clocks into the kernel's files for them, and nothing else.
TUNE = r"""
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
mode=$1 journal=$2/tune.journal
boot=-; [ -r /proc/sys/kernel/random/boot_id ] && IFS= read -r boot < /proc/sys/kernel/random/boot_id
get() { v=; [ -r "$1" ] && IFS= read -r v < "$1"; [ -n "$v" ]; } 2>/dev/null

# fits KIND VALUE FILE: such a value may be written into such a file
fits() {
  case $3 in *..* | *[!A-Za-z0-9_/]*) return 1 ;; esac
  case $1:$3 in
    governor:/sys/devices/system/cpu/*/scaling_governor) case $2 in '' | *[!a-z_]*) return 1 ;; esac ;;
    least-clock:/sys/devices/system/cpu/*/scaling_min_freq) case $2 in '' | *[!0-9]*) return 1 ;; esac ;;
    *) return 1 ;;
  esac
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
on_disk() { sync "$1" 2>/dev/null || sync; }

# forget WORKSPACE: the journal goes first
forget() { rm -f -- "$1/tune.journal" && rm -f -- "$1/tune.sh"; }

# restore WORKSPACE
restore() {
  [ -f "$journal" ] && [ ! -L "$journal" ] || { forget "$1"; return 0; }
  get "$journal"
  # no setting outlives a start of the board
  [ "$v" = "boot $boot" ] || { forget "$1"; return 0; }
  complete=yes
  while read -r kind old file; do
    if [ "$kind" = fixed-performance ]; then
      if hold false; then echo "restored off $kind"; else echo "failed off $kind"; complete=; fi
      continue
    fi
    fits "$kind" "$old" "$file" && get "$file" || continue
    if [ "$v" = "$old" ]; then continue; fi
    # a least clock is what the kernel made of it, so nobody else's can be told from ours
    if [ "$kind" = governor ] && [ "$v" != performance ]; then echo "changed $v $file"; continue; fi
    if put "$old" "$file"; then echo "restored $old $file"; else echo "failed $old $file"; complete=; fi
  done < "$journal"
  if [ -n "$complete" ]; then forget "$1"; fi
}

if [ "$mode" = restore ]; then restore "$2"; exit 0; fi

umask 077
mkdir -p -- "$2" || exit 1
restore "$2" > /dev/null
if [ -e "$journal" ]; then echo "left - $journal"; exit 0; fi

# `todo`: KIND OLD NEW FILE of all that is to be changed
todo=
want() {
  fits "$1" "$2" "$4" && fits "$1" "$3" "$4" || return 0
  if [ "$2" = "$3" ]; then echo "already $2 $4"; return 0; fi
  todo="$todo$1 $2 $3 $4
"
}
set -- "$2" "$3" /sys/devices/system/cpu/cpufreq/policy[0-9]*
# kernels before 4.3 have no such folders
[ -d "$3" ] || set -- "$1" "$2" /sys/devices/system/cpu/cpu[0-9]*/cpufreq
workspace=$1 text=$2
shift 2
for policy in "$@"; do
  if get "$policy/scaling_governor"; then
    old=$v names=performance
    if get "$policy/scaling_available_governors"; then names=$v; fi
    case " $names " in
      *' performance '*) want governor "$old" performance "$policy/scaling_governor" ;;
      *) echo "unsupported $old $policy/scaling_governor" ;;
    esac
  fi
  if get "$policy/scaling_min_freq"; then
    old=$v
    if get "$policy/scaling_max_freq"; then want least-clock "$old" "$v" "$policy/scaling_min_freq"; fi
  fi
done
fixed=; can_hold && fixed=yes
[ -n "$todo$fixed" ] || exit 0

# what is to be changed is on the disk before it is changed
write_journal() {
  {
    echo "boot $boot"
    printf '%s' "$todo" | while read -r kind old new file; do echo "$kind $old $file"; done
    [ -z "$fixed" ] || echo "fixed-performance"
  } > "$journal.part" && on_disk "$journal.part" && mv -f -- "$journal.part" "$journal" && on_disk "$workspace"
}
printf '%s\n' "$text" > "$workspace/tune.sh.part" && mv -f -- "$workspace/tune.sh.part" "$workspace/tune.sh" || exit 1
write_journal || exit 1
printf '%s' "$todo" | while read -r kind old new file; do
  if put "$new" "$file"; then echo "set $old $file"; else echo "denied $old $file"; fi
done
if [ -n "$fixed" ]; then
  if hold true; then echo "set off fixed-performance"; else
    echo "unsupported off fixed-performance"
    fixed=
    write_journal
  fi
fi
exit 0
"""
