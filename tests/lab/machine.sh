#!/bin/bash
# Build the disks of a small Debian 12 machine for qemu: a kernel and page cache of its own, so that its power can be cut.
#
#   machine.sh DIRECTORY       make DIRECTORY/{root.img,vmlinuz,initrd}; done if they are there. Delete DIRECTORY to build anew
#
# Needs root, debootstrap and mkfs.ext4 (Debian's packages debootstrap and e2fsprogs), a Debian mirror (MIRROR names another
# than deb.debian.org), 2 GB of disk and a few minutes; nothing is left outside DIRECTORY.
#
# The machine has systemd, python3 and git. It has three disks: vda its own, vdb for data at /data, vdc for what is to be
# done, at /job and read-only. It runs `python3 /job/main.py` as root with the serial console as its output, Python finding
# packages in /job/site too, then prints ENDED and the exit code, and powers off.
set -euo pipefail
DIRECTORY=${1:?which directory}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
PACKAGES=systemd,systemd-sysv,dbus,udev,kmod,python3,git,ca-certificates,linux-image-cloud-amd64,e2fsprogs # certificates: libgit2 asks for them

mkdir -p "$DIRECTORY"
exec 9>"$DIRECTORY/.lock"
flock 9 # one builds, others wait for it
[ ! -e "$DIRECTORY/root.img" ] || exit 0
NEW=$(mktemp -d "$DIRECTORY/new.XXXXXX")
trap 'rm -rf --one-file-system "$NEW"' EXIT
R=$NEW/rootfs
debootstrap --variant=minbase --include="$PACKAGES" bookworm "$R" "$MIRROR" >"$DIRECTORY/debootstrap.log" 2>&1 ||
  { tail -n 5 "$DIRECTORY/debootstrap.log" >&2; exit 1; }

echo "/dev/vda / ext4 rw 0 1" >"$R/etc/fstab"
echo /job/site >"$R/usr/lib/python3/dist-packages/job.pth"
ln -sf /dev/null "$R/etc/systemd/system/serial-getty@ttyS0.service" # the console is the job's
cat >"$R/etc/systemd/system/job.service" <<'UNIT'
[Service]
Environment=HOME=/root LANG=C.UTF-8 PYTHONUNBUFFERED=1
ExecStart=/bin/bash -c 'exec >/dev/ttyS0 2>&1; mkdir -p /job /data; mount -o ro /dev/vdc /job && mount /dev/vdb /data && python3 /job/main.py; echo "ENDED $?"; sync; systemctl poweroff -f'
UNIT
mkdir -p "$R/etc/systemd/system/multi-user.target.wants"
ln -sf /etc/systemd/system/job.service "$R/etc/systemd/system/multi-user.target.wants/"

cp "$R"/boot/vmlinuz-* "$NEW/vmlinuz"
cp "$R"/boot/initrd.img-* "$NEW/initrd"
rm -rf "$R"/var/cache/apt/archives/*.deb
truncate -s 1500M "$NEW/root.img"
mkfs.ext4 -q -d "$R" "$NEW/root.img"
mv "$NEW/vmlinuz" "$NEW/initrd" "$DIRECTORY/"
mv "$NEW/root.img" "$DIRECTORY/" # last: it says that all is there
