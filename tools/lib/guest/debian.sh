# shellcheck shell=dash
# Installs Debian on the guest's virtio disk from an archive on a second, read-only disk, and checks the disk between boots.
DISK=/dev/vda
ARCHIVE=/dev/vdb
LABEL=stave-debian

check_file_system() {
  e2fsck -fn $DISK >/tmp/fsck 2>&1 || { cat /tmp/fsck; fail "fsck finds errors ($1)"; }
  say "fsck is clean ($1)"
}

case $TASK in
  debian-install)
    if [ "$(head -c 1048576 $DISK | tr -d '\000' | wc -c)" != 0 ] && [ "$(option overwrite no)" != yes ]; then
      dumpe2fs -h $DISK 2>/dev/null | grep -q "volume name: *$LABEL" \
        || fail "the image holds data that is not this test's; name a new image, or say --overwrite"
    fi
    mkfs.ext4 -q -F -L $LABEL -E nodiscard $DISK
    mount -t ext4 $DISK /mnt
    say "unpacking Debian"
    tar -x -f $ARCHIVE -C /mnt
    cp -r /debian/. /mnt/
    mkdir -p /mnt/etc/systemd/system/multi-user.target.wants
    ln -sf ../stave-check.service /mnt/etc/systemd/system/multi-user.target.wants/stave-check.service
    echo "LABEL=$LABEL / ext4 errors=remount-ro 0 1" >/mnt/etc/fstab
    echo guest >/mnt/etc/hostname
    say "$(find /mnt -xdev -type f | wc -l) files, $(du -sm /mnt | cut -f1) MiB"
    umount /mnt
    check_file_system "after the installation" ;;
  debian-fsck) check_file_system "after Debian's own shutdown" ;;
esac
