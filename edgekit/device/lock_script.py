r"""The two shell scripts of the lock, as text: one that holds it on the board, one that runs a command under it.

Files in a folder that all users of the board share; nothing in them matters but who has them open:

* ``edgekit-N.lock``: locked exclusively (``flock(2)``) by the holder, for as long as it lives;
* ``edgekit-N.jobs``: locked shared by every command that runs under the lock, for as long as that command or a child
  of it lives. A holder begins only once it could lock it exclusively: a command that a lost client left behind, and
  that could not be killed, still keeps the board;
* ``edgekit-N.owner.UID``: one line about the holder, for messages only. One file a user: in a sticky folder nobody can
  remove or, with ``fs.protected_regular``, write to another user's file. For the same reason a lock is opened for
  reading: that is enough for ``flock(2)``.

``N`` is the device number of the file system that homes are on: containers and namespaces of one machine may share
the folder, and are boards of their own.

Every client must choose the same files and the same kind of lock, whoever runs it and whatever its PATH: folders are
chosen by their permissions, not by what this user may do, and programs are looked for in the system's own places only.
``flock``, busybox's and toybox's, Perl's and Python's are all the same ``flock(2)``: they lock a descriptor that they
share with the shell, and it stays locked when they end. Only where none of them is there, holders are symbolic links
with a number (``edgekit-N.lock.7``), whose target names the process: made in one step, never taken over, but followed
by the next number once that process is provably gone (other start time, other boot).
"""

from __future__ import annotations

_COMMON = r"""
# starts $1: sets `born`, the start time of a process in ticks since boot: with the id, one process for ever
starts() {
  born=- line=
  [ -r "/proc/$1/stat" ] && IFS= read -r line < "/proc/$1/stat" || { [ ! -d /proc/self ] && kill -0 "$1"; return; }
  line=${line##*") "}
  case $line in Z*|X*) return 1 ;; esac
  set -- $line
  shift 19 && born=$1
} 2>/dev/null

# living PID BORN
living() { starts "$1" && [ "$born" = "$2" ]; }
"""

# Each locks descriptor $1 as $2 says (-n: alone, -s -n: shared, -u: no more) with $program. Status 1: somebody else's
_GRAB = {
    "flock": '"$program" $2 7 7<&"$1"',
    "busybox": '"$program" flock $2 7 7<&"$1"',
    "toybox": '"$program" flock $2 7 7<&"$1"',
    "perl": r"""
      "$program" -e '
        my %op = ("-n" => 6, "-s -n" => 5, "-u" => 8);
        open(my $file, "<&=", 7) or die "$!\n";
        flock($file, $op{$ARGV[0]}) or $!{EWOULDBLOCK} ? exit 1 : die "$!\n"' -- "$2" 7<&"$1"
""",
    "python3": r"""
      "$program" -I -S -c '
import fcntl, sys
try: fcntl.flock(7, {"-n": 6, "-s -n": 5, "-u": 8}[sys.argv[1]])
except BlockingIOError: sys.exit(1)' "$2" 7<&"$1"
""",
    "links": "false",
}

# $0 mark, $1 seconds to wait for others or `look`, $2 limit in seconds, $3 what to tell the others, $4 folder or '',
# $5 our folder, maybe below `~/`. First line, fields parted by tabs:
# held PID BORN WAY PROGRAM LOCK as-it-was|tuned | busy ABOUT | left ABOUT | refused WHY | free
HOLDER = (
    _COMMON
    + "grab() { case $way in "
    + " ".join(f"{way}) {command}\n;;" for way, command in _GRAB.items())
    + " esac; }\n"
    + r"""
LC_ALL=C; export LC_ALL
umask 022
PATH=/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/system/bin:/system/xbin:/data/data/com.termux/files/usr/bin
export PATH
main=$$ wait=$1 limit=$2 about=$3 folder=$4 workspace=$5
refuse() { printf 'refused\t%s\n' "$*"; exit 0; }

if [ -n "$folder" ]; then
  [ -d "$folder" ] && [ -w "$folder" ] || refuse "$folder is not a folder that this user may write to"
else
  for each in /run/lock /var/lock /tmp; do
    case $(ls -ldL "$each" 2>/dev/null) in drwxrwxrwt*) folder=$each; break ;; esac
  done
  if [ -z "$folder" ]; then  # Android: one user only, and his programs
    PATH=$PATH${PREFIX:+:$PREFIX/bin}
    for each in /data/local/tmp /data/data/com.termux/files/usr/tmp "${PREFIX:-/data}/tmp"; do
      [ -d "$each" ] && [ -w "$each" ] && { folder=$each; break; }
    done
  fi
  [ -n "$folder" ] || refuse "none of /run/lock, /var/lock and /tmp is open to all users (mode 1777)"
fi
uid=$(id -u) || refuse "id says nothing about this user"
number=$(stat -c %d /home 2>/dev/null)
lock=$folder/edgekit-${number:-0}.lock jobs=$folder/edgekit-${number:-0}.jobs
owners=$folder/edgekit-${number:-0}.owner owner=$folder/edgekit-${number:-0}.owner.$uid

way=links program=-
for each in flock busybox toybox perl python3; do
  found=$(command -v "$each") && [ -x "$found" ] || continue
  way=$each program=$found
  # letting go of a lock that nobody has works wherever anything would
  case $each in flock) break ;; *) grab 0 -u < /dev/null 2>/dev/null && break ;; esac
  way=links program=-
done

# file PATH: a regular file, made where it is missing; a link is not followed, a FIFO not opened
file() {
  [ ! -L "$1" ] || refuse "$1 is a symbolic link that somebody put there"
  [ -e "$1" ] || why=$( (set -C; : > "$1") 2>&1)
  [ -L "$1" ] || [ -e "$1" ] || refuse "$1 cannot be made: ${why##*: }"
  [ -f "$1" ] && [ ! -L "$1" ] || refuse "$1 is not a regular file"
  [ -r "$1" ] || refuse "$1 may not be read by this user"
}

# take FD FLAGS: as grab, but says what is wrong
take() {
  said=$(grab "$1" "$2" 2>&1) && return 0
  [ -z "$said" ] || refuse "$program cannot lock: $said"
  return 1
}

# others STATE: who has it, and the end. A holder that just began may not have said so yet
others() {
  for again in 1 2 3 4 5; do
    for each in "$owners".*; do
      [ -f "$each" ] && [ ! -L "$each" ] && [ -r "$each" ] || continue
      IFS=' ' read -r pid since words < "$each" || continue
      if living "$pid" "$since" || [ "$1" = left ]; then printf '%s\t%s\n' "$1" "$words"; exit 0; fi
    done
    if [ $again = 5 ]; then printf '%s\t\n' "$1"; exit 0; fi
    nap
    if [ "$wait" != look ] && obtain; then return 0; fi
  done
}

nap() { sleep 0.1 2>/dev/null || sleep 1; }

# The lock as numbered links. Sets `last` (0: none), `holder` (what the last one says)
last_link() {
  last=0 holder=
  for each in "$lock".[0-9]*; do
    [ -L "$each" ] && [ "${each##*.}" -gt "$last" ] 2>/dev/null && last=${each##*.}
  done
  [ "$last" = 0 ] || holder=$(readlink "$lock.$last") || holder=unreadable
}

# gone PID BORN BOOT UID: provably dead. Another user's process may be hidden from us: then it counts as living
gone() {
  [ "$3" = "$boot" ] || return 0
  [ "$4" = "$uid" ] || [ -e /proc/1/stat ] || return 1
  ! living "$1" "$2"
}

free_link() {
  last_link
  case $holder in '' | free) return 0 ;; *:*:*:*) ;; *) return 1 ;; esac
  (IFS=:; set -- $holder; unset IFS; gone "$1" "$2" "$3" "$4")
}

obtain() {
  if [ "$way" = links ]; then
    free_link && ln -s "$main:$me:$boot:$uid" "$lock.$((last + 1))" 2>/dev/null || return 1
    link=$lock.$((last + 1))
    # the one before stays: who lists the folder now must see one of the two
    for each in "$lock".[0-9]*; do [ "${each##*.}" -lt "$last" ] 2>/dev/null && rm -f "$each" 2>/dev/null; done
    return 0
  fi
  file "$lock"
  exec 9< "$lock"
  take 9 -n && still_ours
}

# What we have locked is still the file of that name: its owner, and whoever empties /tmp, may remove it
still_ours() { [ "$way" = links ] || [ ! -e /proc/self/fd/9 ] || [ /proc/self/fd/9 -ef "$lock" ]; }

# reap WORD: kills every process that has EDGEKIT_LOCK=WORD… in its environment
reap() {
  if [ "$(printf 'a\000b\n' | grep -c b)" = 1 ]; then
    found=$(grep -l "EDGEKIT_LOCK=$1" /proc/[0-9]*/environ 2>/dev/null)
  else  # a grep that ends at a zero byte
    found=
    for each in /proc/[0-9]*/environ; do
      tr '\0' '\n' < "$each" 2>/dev/null | grep -q "^EDGEKIT_LOCK=$1" && found="$found $each"
    done
  fi
  for each in $found; do
    each=${each#/proc/}
    kill -KILL "${each%/environ}" 2>/dev/null
  done
}

# clear_jobs WORD: returns once no command runs under the lock any more; false where one cannot be killed
clear_jobs() {
  tries=30
  if [ "$way" = links ]; then
    while reap "$1"; [ -n "$found" ]; do
      [ "$tries" -gt 0 ] || return 1
      tries=$((tries - 1)); nap
    done
    return 0
  fi
  until take 8 -n; do
    reap "$1"
    [ "$tries" -gt 0 ] || return 1
    tries=$((tries - 1)); nap
  done
}

starts "$main"
me=$born boot=- link=
[ ! -r /proc/sys/kernel/random/boot_id ] || IFS= read -r boot < /proc/sys/kernel/random/boot_id

if [ "$wait" = look ]; then
  if [ "$way" = links ]; then free_link || others busy
  elif [ -L "$lock" ] || [ -e "$lock" ]; then
    file "$lock"
    exec 9< "$lock"
    take 9 '-s -n' || others busy
  fi
  printf 'free\n'; exit 0
fi

until obtain; do
  if [ "$wait" -le 0 ]; then others busy; break; fi
  sleep 1
  wait=$((wait - 1))
done
if [ "$way" != links ]; then
  file "$jobs"
  exec 8< "$jobs"
fi
clear_jobs "$lock:" || others left
if [ "$way" != links ]; then take 8 -u; fi
rm -f "$owner" 2>/dev/null
[ ! -e "$owner" ] && [ ! -L "$owner" ] || refuse "$owner is not ours and cannot be removed"
why=$( (set -C; printf '%s %s %s\n' "$main" "$me" "$about" > "$owner") 2>&1) ||
  refuse "$owner cannot be written: ${why##*: }; is the disk full?"

case $workspace in '~/'*) workspace=$(cd && pwd -P)/${workspace#??} ;; esac
tuned=as-it-was; [ ! -e "$workspace/tune.journal" ] || tuned=tuned
left=

# Ends us when nothing was heard for a while: a server does not notice that a network is gone
watch() {
  exec 9<&-
  trap 'heard=yes' USR1
  trap 'kill "$sleeping" 2>/dev/null; exit 0' TERM
  heard=yes
  while [ -n "$heard" ]; do
    heard=
    sleep "$((limit / 2))" 8<&- &
    sleeping=$!
    while kill -0 "$sleeping" 2>/dev/null; do wait "$sleeping"; done
  done
  living "$main" "$me" || exit 0  # the next holder is at work, maybe
  end
  kill -KILL "$main"
}
end() {
  clear_jobs "$lock:$0" || left=yes
  sweep
  untune
  [ -n "$left" ] || forget
}
# What the client was uploading when it ended; a receiver that still writes finds its file gone, and fails
sweep() {
  case $workspace in /?*) find "$workspace/" -type f -name '.edgekit-*.part' -exec rm -f -- {} + 2>/dev/null ;; esac
}
# What the client has changed of the board's settings and did not come to put back (edgekit/device/tune_script.py); a
# board that does not let it be done must not stay locked for it
untune() {
  [ -f "$workspace/tune.journal" ] && [ -f "$workspace/tune.sh" ] || return 0
  sh "$workspace/tune.sh" restore "$workspace" 8<&- 9<&- &
  tries=50
  while kill -0 $! 2>/dev/null && [ "$tries" -gt 0 ]; do tries=$((tries - 1)); nap; done
  kill -KILL $! 2>/dev/null
}
forget() {
  rm -f "$owner"
  [ -z "$link" ] || { ln -s free "$link.free" && mv -f "$link.free" "$link"; }
} 2>/dev/null

# exec, for a shell keeps what a redirection of a function replaces: nobody would see the end of our output
(exec < /dev/null > /dev/null 2>&1; watch) &
watching=$!
printf 'held\t%s\t%s\t%s\t%s\t%s\t%s\n' "$main" "$me" "$way" "$program" "$lock" "$tuned"
while IFS= read -r line; do
  kill -USR1 "$watching" 2>/dev/null && still_ours || break
done
exec > /dev/null 2>&1
kill -TERM "$watching"
end
exit 0
"""
)

LOST = "edgekit-lock-lost"


def guard(way: str) -> str:
    """The script that runs a command under a lock that was taken in a certain way.

    Its arguments: PID BORN PROGRAM LOCK as the holder said them, the mark, ``--``, then the command. Status 75 and
    the word :data:`LOST` on standard error: the holder is gone, and the command was not run.
    """
    return _COMMON + f"grab() {{\n{_GRAB[way]}\n}}\nway={way}\n" + _GUARD


_GUARD = r"""
pid=$1 since=$2 program=$3 lock=$4 mark=$5
shift 6  # and the --
lost() { echo edgekit-lock-lost >&2; exit 75; }
if [ $way != links ]; then
  [ -r "${lock%.lock}.jobs" ] || lost
  exec 9< "${lock%.lock}.jobs"
  grab 9 '-s -n' || lost
fi
# while we have the jobs, no other holder begins; so one look is enough
living "$pid" "$since" || lost
EDGEKIT_LOCK=$lock:$mark
export EDGEKIT_LOCK
if [ $way = links ]; then exec "$@"; fi
exec "$@" 6<&9
"""
