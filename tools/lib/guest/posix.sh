# shellcheck shell=dash
# Checks POSIX's rules on an export, with Debian's Python in a folder of its own.
# shellcheck source=/dev/null
. /tasks/export.sh
OTHER=$(option other '')
OPTIONS=$(option mount '')
set -o pipefail

mkdir -p /python/here /python/there /python/proc /python/dev /python/tmp
mount -t proc proc /python/proc
mount -o bind /dev /python/dev
cp /tasks/posix*.py /python/tmp/
reach "$SERVER"
mount_export "$SERVER" /python/here "$OPTIONS" || fail "mount -t nfs $SERVER:$EXPORT failed ($(dmesg | tail -n 1))"
set -- --seed "$SEED" --minutes "$(option minutes 1)" --entries "$FILES"
if [ -n "$OTHER" ]; then
  [ "$OTHER" = "$SERVER" ] || reach "$OTHER"
  mount_export "$OTHER" /python/there "$OPTIONS" || fail "mount -t nfs $OTHER:$EXPORT failed ($(dmesg | tail -n 1))"
  set -- "$@" --other /there
fi
say "mounted $(grep -c ' nfs ' /proc/mounts) times${OPTIONS:+ with $OPTIONS}"
PATH=/usr/bin:/bin chroot /python /usr/bin/python3 -u /tmp/posix.py /here "$@" 2>&1 \
  | while IFS= read -r line; do say "$line"; done \
  || fail "something is not as POSIX has it"
umount /python/here
