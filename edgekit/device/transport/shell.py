"""The small scripts that carry commands and files through any POSIX shell on a board."""

from __future__ import annotations

#: $0 marker, then the command. The marker on both outputs is where the command's own output begins; the process id lets
#: a deadline kill it. No exec: a shell that stays turns signals into 128 + N.
FRAME = 'printf "%s %s\\n" "$0" "$$"; printf "%s\\n" "$0" >&2; "$@"; exit "$?"'

#: $1 new file, $2 size; the bytes are on standard input. It cleans up after itself, even when the connection is gone (a
#: shell that is hung up would hang up this one too); noclobber never follows a link. `true`, because a failed
#: redirection of `:` ends mksh and dash at once
RECEIVE = (
    'trap "" HUP; set -C; umask 077; true > "$1" || exit 31; cat >| "$1"; status=$?; size=$(wc -c < "$1"); '
    '[ "$status" = 0 ] && [ "$((size))" = "$2" ] && exit 0; rm -f -- "$1"; exit 32'
)

#: $1 process id: ends its group, or where it leads none, itself. No `--`: dash takes it for a number
KILL = 'kill -KILL "-$1" 2>/dev/null || kill -KILL "$1"'
