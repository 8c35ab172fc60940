# shellcheck shell=dash
# The guest's workload on an export mounted with the kernel's own NFS client, version 3.
# Everything happens in one new folder of the export, which is removed at the end. Before each look at what was made,
# the client's caches are emptied, so that the server answers and not the client's memory.
# shellcheck source=/dev/null
. /tasks/export.sh
USER_ID=1000
USER_NAME=guest

forget() { sync; echo 3 >/proc/sys/vm/drop_caches; }
# same WHAT FOUND EXPECTED
same() { [ "$2" = "$3" ] || fail "$1: found '$2', expected '$3'"; }
# refused WHAT COMMAND...: COMMAND must fail.
refused() {
  what=$1
  shift
  if "$@" >/dev/null 2>&1; then fail "$what was not refused"; fi
}
# as_user SHELL-TEXT: the same as an ordinary user.
as_user() { su -s /bin/sh -c "$1" $USER_NAME; }
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum); }
facts() { (cd "$1" && find . -print0 | sort -z | xargs -0 stat -c '%n %F %a %u:%g %h'); }

mkdir -p /etc
printf 'root:x:0:0::/:/bin/sh\n%s:x:%s:%s::/:/bin/sh\n' $USER_NAME $USER_ID $USER_ID >/etc/passwd
printf 'root:x:0:\n%s:x:%s:\n' $USER_NAME $USER_ID >/etc/group
reach "$SERVER"
umask 022

mount_export "$SERVER" /mnt || fail "mount -t nfs $SERVER:$EXPORT failed ($(dmesg | tail -n 1))"
say "mounted $EXPORT: $(df -mP /mnt | awk 'END { print $4 }') MiB free"
TOP=/mnt/guest-$TOKEN
mkdir "$TOP"
cd "$TOP" || fail "cannot enter $TOP"

say "creating $FILES files in one folder"
mkdir many
i=0
while [ $i -lt "$FILES" ]; do
  echo "file $i of seed $SEED" >many/f$i
  i=$((i + 1))
done
seq 0 $((FILES - 1)) | sed 's/^/f/' | sort >/tmp/names
seq 0 $((FILES - 1)) | sed "s/.*/file & of seed $SEED/" | sort >/tmp/lines
forget
find many -type f | sed 's|.*/||' | sort | cmp - /tmp/names || fail "the listing is not the set of names that were created"
say "listed $FILES names"
find many -type f -print0 | xargs -0 cat | sort | cmp - /tmp/lines || fail "the files' contents are not what was written"
say "read $FILES files"

say "renames"
mkdir moved
i=0
while [ $i -lt $((FILES / 4)) ]; do
  if [ $((i % 2)) = 0 ]; then mv many/f$i moved/m$i; else mv many/f$i many/g$i; fi
  i=$((i + 1))
done
mv -f many/f$i many/f$((i + 1)) # onto a file that exists
forget
same "the file that replaced another" "$(cat many/f$((i + 1)))" "file $i of seed $SEED"
same "entries after the renames" "$(find many moved -type f | wc -l)" $((FILES - 1))
find many moved -type f -print0 | xargs -0 cat | sort >/tmp/after
grep -vx "file $((i + 1)) of seed $SEED" /tmp/lines | cmp - /tmp/after || fail "a rename lost or changed a file"
mkdir -p tree/a/b tree/c
echo deep >tree/a/b/file
mv tree/a tree/c/a
same "a file in a folder that moved" "$(cat tree/c/a/b/file)" deep
refused "moving a folder into itself" mv tree/c tree/c/a/b/c
refused "rmdir of a folder with entries" rmdir tree/c

say "links"
mkdir links
echo linked >links/original
i=0
while [ $i -lt 100 ]; do
  ln links/original links/hard$i
  ln -s "../links/hard$i" links/soft$i
  i=$((i + 1))
done
ln -s "nowhere/$(head -c 900 /dev/zero | tr '\000' x)" links/dangling
forget
same "the link count" "$(stat -c %h links/original)" 101
same "the inode of a hard link" "$(stat -c %i links/hard99)" "$(stat -c %i links/original)"
same "a symbolic link's text" "$(readlink links/soft7)" ../links/hard7
same "the length of a long symbolic link" "$(readlink links/dangling | tr -d '\n' | wc -c)" 908
same "reading through a symbolic link" "$(cat links/soft42)" linked
rm links/original
echo more >>links/hard5
forget
same "the link count after an unlink" "$(stat -c %h links/hard5)" 100
same "a file through another of its names" "$(cat links/hard77)" "linked
more"
refused "a hard link to a folder" ln links folder-link

say "modes, owners, times"
mkdir attributes
for mode in 0 400 640 755 1777 2755 4711; do
  echo x >attributes/$mode
  chmod $mode attributes/$mode
done
chown 1234:4321 attributes/640
touch -d '2001-02-03 04:05:06' attributes/755
touch -d '1970-01-01 00:00:01' attributes/400
forget
for mode in 0 400 640 755 1777 2755 4711; do same "the mode" "$(stat -c %a attributes/$mode)" $mode; done
same "the owner" "$(stat -c %u:%g attributes/640)" 1234:4321
same "the time of change" "$(stat -c %Y attributes/755)" 981173106
same "the time of change near 1970" "$(stat -c %Y attributes/400)" 1
before=$(stat -c %Y attributes/755)
echo y >>attributes/755
forget
[ "$(stat -c %Y attributes/755)" -gt "$before" ] || fail "a write did not move the time of change"
mkfifo attributes/fifo
mknod attributes/null c 1 3
forget
same "the type of a fifo" "$(stat -c %F attributes/fifo)" fifo
same "a device's numbers" "$(stat -c %t:%T attributes/null)" 1:3

say "an ordinary user's permissions"
mkdir user shared
chown $USER_ID:$USER_ID user
chmod 1777 shared
echo secret >user/root-only
chmod 600 user/root-only
echo keep >shared/keep
as_user "echo mine >'$TOP/user/mine'" || fail "the owner of a folder cannot create in it"
same "the owner of a file that a user made" "$(stat -c %u:%g user/mine)" $USER_ID:$USER_ID
refused "reading another's file of mode 600" as_user "cat '$TOP/user/root-only'"
refused "creating in another's folder" as_user "echo x >'$TOP/many/intruder'"
refused "removing another's file from a sticky folder" as_user "rm -f '$TOP/shared/keep'"
refused "chmod of another's file" as_user "chmod 777 '$TOP/shared/keep'"
as_user "rm -f '$TOP/user/root-only'" || fail "the owner of a folder cannot remove from it"

say "append, truncate, sparse files, exclusive create"
mkdir data
i=0
while [ $i -lt 200 ]; do
  echo "line $i" >>data/log
  i=$((i + 1))
done
seq 0 199 | sed 's/^/line /' | cmp - data/log || fail "appended lines are not all there in order"
head -c 1000000 /bin/busybox >data/cut
truncate -s 123457 data/cut
forget
head -c 123457 /bin/busybox | cmp - data/cut || fail "a file cut short is not the beginning of what it was"
truncate -s 200000 data/cut
forget
same "the size of an extended file" "$(stat -c %s data/cut)" 200000
same "bytes that are not zero in the extension" "$(tail -c +123458 data/cut | tr -d '\000' | wc -c)" 0
dd if=/bin/busybox of=data/cut bs=1 count=777 seek=150001 conv=notrunc 2>/dev/null
forget
head -c 777 /bin/busybox >/tmp/piece
dd if=data/cut bs=1 skip=150001 count=777 2>/dev/null | cmp - /tmp/piece || fail "a write at an odd place reads back otherwise"
dd if=/bin/busybox of=data/sparse bs=4096 count=1 seek=2000000 2>/dev/null
forget
same "the size of a sparse file" "$(stat -c %s data/sparse)" 8192004096
[ "$(du -m data/sparse | cut -f1)" -lt 100 ] || fail "a file with 4 KiB of data takes $(du -m data/sparse | cut -f1) MiB"
rm data/sparse # its 8 GB of zeros would be read again below
(set -C; echo first >data/exclusive) || fail "exclusive create of a new file failed"
refused "exclusive create of a file that exists" sh -c 'set -C; echo second >data/exclusive'
same "the file after the refused create" "$(cat data/exclusive)" first
refused "mkdir of a folder that exists" mkdir data

# An open file that is removed stays readable and writable.
echo begun >data/open
exec 4<data/open
exec 3>>data/open
rm data/open
echo continued >&3
forget
same "an open file that was removed" "$(cat <&4)" "begun
continued"
exec 3>&- 4<&-
same "entries left of an open file that was removed" "$(find data -name '.nfs*' | wc -l)" 0

say "names"
mkdir names
long=$(head -c 255 /dev/zero | tr '\000' n)
for name in "$long" 'two words' 'quote"and'\''more' '-dash' 'Straße 北京' "line
break" 'back\slash' '*'; do
  echo "$name" >"names/$name"
done
forget
same "entries with unusual names" "$(find names -type f -print0 | tr -dc '\000' | wc -c)" 8
same "a file with a long name" "$(cat "names/$long")" "$long"
same "a file with a line break in its name" "$(cat "names/line
break")" "line
break"
refused "a name of 256 bytes" touch "names/${long}n"

say "copying a tree through tar, and the copy on the server"
mkdir copy
tar -c -C / bin/busybox bin/mke2fs lib tasks 2>/dev/null | tar -x -C copy
forget
sums /tasks >/tmp/expected
sums copy/tasks | cmp - /tmp/expected || fail "the copied tasks differ"
sums /lib >/tmp/expected
sums copy/lib | cmp - /tmp/expected || fail "the copied libraries differ"
cmp /bin/busybox copy/bin/busybox || fail "the copied program differs"
cp -a copy copy2
forget
sums copy >/tmp/expected
sums copy2 | cmp - /tmp/expected || fail "a copy on the server differs"
facts copy >/tmp/expected
facts copy2 | cmp - /tmp/expected || fail "a copy's types, modes or owners differ"
say "$(find copy -type f | wc -l) files, $(du -sm copy | cut -f1) MiB"

say "mounting again"
sums "$TOP" >/tmp/expected
cd /
umount /mnt
mount_export "$SERVER" /mnt
sums "$TOP" | cmp - /tmp/expected || fail "something changed across a remount"
df /mnt >/dev/null

say "removing everything"
rm -rf "$TOP"
forget
[ ! -e "$TOP" ] || fail "the folder is still there after rm -rf"
same "entries left" "$(find /mnt -maxdepth 1 -name "guest-$TOKEN" | wc -l)" 0
umount /mnt
