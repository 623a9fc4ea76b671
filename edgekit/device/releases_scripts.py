"""What runs on a board to activate, roll back, list and remove releases: shell scripts, each one round trip.

At every instant of every script ``current`` names a complete release. A switch changes two links; the second waits as
``.edgekit-previous`` meanwhile, so that the next script finishes what a power cut left half done.
"""

from __future__ import annotations

from edgekit.device.workspace import HASH

#: exit statuses: the scripts' own
NO_FOLDER, NOT_WHOLE, CANNOT_LINK, NO_PREVIOUS, NEVER_ACTIVE, IS_A_LINK = 41, 42, 43, 44, 46, 47

_COMMON = (
    HASH
    + r"""
LC_ALL=C; export LC_ALL; umask 077
# somebody's own link to elsewhere is no release: it counts as none, and the next switch takes its place
link() {
  case $(readlink "$1" 2>/dev/null) in
    *[!0-9a-f]*) echo - ;;
    ????????????) readlink "$1" ;;
    *) echo - ;;
  esac
}
durable() { sync "$@" 2>/dev/null || sync 2>/dev/null || :; }
whole() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -f "$1/model.tflite" ] && [ ! -L "$1/model.tflite" ] || return 1
  case $(sha256_of "$1/model.tflite" "$(($(wc -c < "$1/model.tflite")))") in "$1"*) ;; *) return 1 ;; esac
}
# `put LINK RELEASE` is one rename(2) with any mv: a link that moves into a folder takes the place of its namesake,
# while `mv NEW LINK` would move into the folder that LINK names, and not every mv has -T
put() {
  rm -rf ./.edgekit-links
  if [ ! -L "$1" ] && [ -e "$1" ]; then echo "$1 is not a link" >&2; return 1; fi
  mkdir .edgekit-links && ln -s "$2" ".edgekit-links/$1" && mv -f ".edgekit-links/$1" ./
  moved=$?
  rm -rf ./.edgekit-links
  return $moved
}
finish() {
  rm -rf ./.edgekit-links
  if [ -L .edgekit-previous ]; then
    waiting=$(readlink .edgekit-previous)
    [ "$waiting" = "$(link current)" ] || put previous "$waiting" || return 1
    rm -f .edgekit-previous
  fi
  # a return that was cut short leaves both links on one release
  if [ -L previous ] && [ "$(link previous)" = "$(link current)" ]; then rm -f previous; fi
}
# what was current becomes previous, unless it is no good
switch() {
  old=$(link current)
  [ "$old" != "$1" ] || return 0
  if [ "$old" != - ] && [ -f "$old/model.tflite" ] && [ ! -e "$old/failed" ]; then
    ln -s "$old" .edgekit-previous || return 1
  fi
  durable .
  put current "$1" || { rm -f .edgekit-previous; return 1; }
  finish && durable .
}
foreign() {
  for file in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    case ${file#"$1/"} in
      model.tflite | manifest.json | activated | failed | .edgekit-*.part) ;;
      *) if [ -e "$file" ] || [ -L "$file" ]; then return 0; fi ;;
    esac
  done
  return 1
}
# a folder with somebody else's files in it is left as it is
drop() {
  foreign "$1" && return 0
  rm -f "$1/model.tflite" "$1/manifest.json" "$1/activated" "$1/failed" "$1"/.edgekit-*.part && rmdir "$1"
}
is_release() {
  case $1 in *[!0-9a-f]*) return 1 ;; esac
  [ ${#1} = 12 ] && [ -d "$1" ] && [ ! -L "$1" ]
}
# the newest stay; the current and the previous always
prune() {
  kept=0
  for release in $(ls -1t); do
    is_release "$release" || continue
    kept=$((kept + 1))
    [ "$release" = "$(link current)" ] || [ "$release" = "$(link previous)" ] || [ $kept -le "$1" ] || drop "$release"
  done
}
say() { printf '%s %s\n' "$(link current)" "$(link previous)"; }
"""
)

# $1 workspace, $2 folder of the model, $3 release to come: finishes and removes what an interrupted run left
TIDY = (
    _COMMON
    + r"""
[ -d "$1" ] || { echo - -; exit 0; }
find "$1/" -type f -name '.edgekit-*.part' -exec rm -f -- {} + 2>/dev/null
[ ! -L "$2" ] || { echo "$2 is a link" >&2; exit 47; }
cd "$2" 2>/dev/null || { echo - -; exit 0; }
finish || exit 43
if [ -L "$3" ]; then rm -f "./$3"; fi
for release in ????????????; do
  is_release "$release" && [ ! -e "$release/model.tflite" ] && [ "$release" != "$3" ] && drop "$release"
done
say
cd / && rmdir "$2" "${2%/*}" 2>/dev/null
exit 0
"""
)

# $1 folder of the model, $2 release
ACTIVATE = (
    _COMMON
    + r"""
cd "$1" || exit 41
finish || exit 43
whole "$2" || exit 42
rm -f "$2/failed"
new=; [ -e "$2/activated" ] || new=yes
true > "$2/activated" && touch "$2" || exit 43
durable "$2/model.tflite" "$2/manifest.json" "$2/activated" "$2" . ..
if ! switch "$2"; then
  [ -z "$new" ] || rm -f "$2/activated"
  exit 43
fi
say
"""
)

# $1 folder of the model, $2 how many to keep
PRUNE = (
    _COMMON
    + r"""
cd "$1" 2>/dev/null || exit 41
finish || exit 43
prune "$2"
say
"""
)

# $1 folder of the model, $2 release or - for the previous one
ROLL_BACK = (
    _COMMON
    + r"""
cd "$1" 2>/dev/null || exit 41
finish || exit 43
to=$2
if [ "$to" = - ]; then to=$(link previous); fi
[ "$to" != - ] && [ "$to" != "$(link current)" ] || exit 44
whole "$to" || exit 42
[ -e "$to/activated" ] && [ ! -e "$to/failed" ] || exit 46
touch "$to/activated" "$to"
switch "$to" || exit 43
say
"""
)

# $1 folder of the model, $2 release that failed or -, $3 report, $4 what shall be current, $5 previous, $6 keep
PUT_BACK = (
    _COMMON
    + r"""
cd "$1" || exit 41
if [ "$2" != - ] && [ -d "$2" ]; then printf '%s\n' "$3" > "$2/failed"; fi
finish || exit 43
if [ "$4" = - ]; then
  if [ "$(link current)" = "$2" ]; then rm -f current; fi
elif [ "$4" != "$(link current)" ]; then
  whole "$4" || exit 42
  put current "$4" || exit 43
fi
if [ "$5" = - ] || [ ! -f "$5/model.tflite" ]; then
  if [ -L previous ]; then rm -f previous; fi
elif [ "$5" != "$(link previous)" ]; then
  put previous "$5" || exit 43
fi
durable .
[ "$6" = - ] || prune "$6"
say
"""
)

# $1 folder of the model
STATE = _COMMON + r"""cd "$1" 2>/dev/null || exit 41; say"""

# $1 folder of all models. Names come last on their lines, for they may hold spaces; never a line break of ours
LIST = (
    _COMMON
    + r"""
cd "$1" 2>/dev/null || exit 0
for model in * .[!.]*; do
  case $model in *"
"*) continue ;; esac
  [ -d "./$model" ] && [ ! -L "./$model" ] || continue
  ( cd "./$model" || exit 0
    printf 'model %s %s %s\n' "$(link current)" "$(link previous)" "$model"
    for release in ????????????; do
      is_release "$release" || continue
      size=- when=- active=- failed=-
      if [ -f "$release/model.tflite" ]; then size=$(($(wc -c < "$release/model.tflite"))); fi
      if [ -e "$release/activated" ]; then active=activated; mark=$release/activated; else mark=$release; fi
      when=$(date -r "$mark" +%s 2>/dev/null) || when=-
      if [ -e "$release/failed" ]; then failed=failed; fi
      printf 'release %s %s %s %s %s\n' "$release" "$size" "${when:--}" "$active" "$failed"
    done )
done
"""
)

# $1 folder of the runtimes
RUNTIMES = r"""
cd "$1" 2>/dev/null || exit 0
for file in */*; do
  case $file in *"
"*) continue ;; esac
  if [ -f "$file" ]; then printf '%s %s\n' "$(($(wc -c < "$file")))" "$file"; fi
done
"""
