# shellcheck shell=dash
# The guest's load on its virtio disk. Three boots of one image:
#   disk-write    raw sectors, mkfs, files written, synced, verified; umount; fsck; reboot
#   disk-verify   fsck, every file verified; then a second set of files, each made durable with fsync, until the host kills QEMU
#   disk-recover  the journal is replayed; every file that was durable is verified; umount; fsck
# A file's bytes follow from (seed, set, number) alone, so that each boot knows them without having kept anything.
DISK=/dev/vda
LABEL=stave-guest
SOURCE=/bin/busybox # a megabyte and more of bytes that repeat nowhere

# size SET NUMBER: from nothing to 512 KiB; a third of the files are small, and ends fall anywhere in a block.
size() {
  if [ $(($2 % 3)) = 0 ]; then echo $((($2 * 97 + SEED * 13 + $1) % 6000))
  else echo $((($2 * 77797 + SEED * 7919 + $1 * 104729) % 524288)); fi
}

# content SET NUMBER: the bytes of a file, on standard output.
content() {
  { echo "seed $SEED set $1 file $2"
    tail -c +$((($2 * 15485863 + SEED * 104729 + $1 * 7919) % 500000 + 1)) "$SOURCE" 2>/dev/null
  } | head -c "$(size "$1" "$2")"
}

# manifest SET COUNT: the checksums that the files of a set must have, computed from the seed alone.
manifest() {
  i=0
  while [ "$i" -lt "$2" ]; do
    echo "$(content "$1" "$i" | sha256sum | cut -c1-64)  set$1/$((i % 8))/file$i"
    i=$((i + 1))
  done
}

# verify SET COUNT: reads from the disk, not from memory.
verify() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
  manifest "$1" "$2" >/tmp/manifest
  (cd /mnt && sha256sum -c /tmp/manifest) >/tmp/verdict 2>&1 || {
    grep -v ': OK$' /tmp/verdict | head -n 20
    fail "files of set $1 differ from what was written"
  }
  say "verified $2 files of set $1 ($(du -sm "/mnt/set$1" | cut -f1) MiB)"
}

folders() {
  for folder in 0 1 2 3 4 5 6 7; do mkdir -p "/mnt/set$1/$folder"; done
}

# raw_sectors: single sectors and odd runs, past the page cache, before there is a file system.
raw_sectors() {
  sectors=$(cat /sys/block/vda/size)
  i=0
  while [ "$i" -lt 24 ]; do
    at=$(((i * 1299709 + SEED * 611953) % (sectors - 64)))
    count=$((i % 7 * 8 + 1))
    tail -c +$((i * 4093 + 1)) "$SOURCE" | head -c $((count * 512)) >/tmp/sectors
    dd if=/tmp/sectors of=$DISK bs=512 seek=$at count=$count oflag=direct conv=notrunc,fsync 2>/dev/null
    dd if=$DISK bs=512 skip=$at count=$count iflag=direct 2>/dev/null | cmp - /tmp/sectors \
      || fail "$count sectors written at sector $at read back otherwise"
    i=$((i + 1))
  done
  say "24 runs of 1 to 49 sectors written past the cache and read back"
}

check_file_system() {
  e2fsck -fn $DISK >/tmp/fsck 2>&1 || { cat /tmp/fsck; fail "fsck finds errors ($1)"; }
  say "fsck is clean ($1)"
}

[ -b $DISK ] || fail "there is no disk $DISK"
case $TASK in
  disk-write)
    if [ "$(head -c 1048576 $DISK | tr -d '\000' | wc -c)" != 0 ] && [ "$(option overwrite no)" != yes ]; then
      dumpe2fs -h $DISK 2>/dev/null | grep -q "volume name: *$LABEL" \
        || fail "the image holds data that is not this test's; name a new image, or say --overwrite"
    fi
    raw_sectors
    mkfs.ext4 -q -F -L $LABEL -E lazy_itable_init=0,lazy_journal_init=0,nodiscard $DISK
    mount -t ext4 $DISK /mnt
    say "made an ext4 file system of $(df -m /mnt | awk 'NR == 2 { print $2 }') MiB"
    folders 1
    i=0
    while [ "$i" -lt "$FILES" ]; do
      file=/mnt/set1/$((i % 8))/file$i
      case $((i % 4)) in
        0) content 1 $i | dd of="$file" bs=64k conv=fsync 2>/dev/null ;;
        1) # Written as another file first, then over it in place, then cut to size.
          content 9 $i >"$file"
          content 1 $i | dd of="$file" bs=4096 conv=notrunc 2>/dev/null
          truncate -s "$(size 1 $i)" "$file" ;;
        2) content 1 $i >"$file.new"; mv "$file.new" "$file" ;;
        *) content 1 $i >"$file" ;;
      esac
      i=$((i + 1))
    done
    say "wrote $FILES files"
    verify 1 "$FILES"
    umount /mnt
    check_file_system "after umount"
    say "rebooting"
    echo "@OK $TOKEN"
    reboot -f
    sleep 60 ;;
  disk-verify)
    check_file_system "after the reboot"
    mount -t ext4 $DISK /mnt
    verify 1 "$FILES"
    folders 2
    sync
    i=0
    while [ "$i" -lt 400 ]; do
      content 2 $i | dd of="/mnt/set2/$((i % 8))/file$i" bs=64k conv=fsync 2>/dev/null
      i=$((i + 1))
      echo "@DURABLE $i"
    done
    fail "the host should have cut the power long ago" ;;
  disk-recover)
    mount -t ext4 $DISK /mnt
    say "mounted after the power cut: $(dmesg | grep -c 'EXT4-fs.*recovery complete' || true) journal replay"
    verify 1 "$FILES"
    verify 2 "$(option durable 0)"
    umount /mnt
    check_file_system "after the power cut and the replay" ;;
esac
