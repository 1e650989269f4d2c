#!/bin/bash
# A real systemd (PID 1) with logind, D-Bus, journald and the service manager of one unprivileged user, inside namespaces
# that are thrown away: for tests of the service on a machine whose own PID 1 may be anything. Needs root.
#
#   systemd.sh up              boot it, about a second
#   systemd.sh user CMD...     run CMD as its user, in that user's session
#   systemd.sh root CMD...     run CMD as root inside
#   systemd.sh down            end all of it
#
# LAB names it, so that several may be up at once. LAB_BIND lists directories that are the host's own inside; everything
# else is an overlay whose upper layer is in memory. /run, /tmp, /var/tmp and /dev are its own, /sys and /proc/sys are
# read-only, and so are pids, mounts, network, host name and control groups its own; it can't set the clock or load modules.
set -euo pipefail
LAB=${LAB:-expd-lab}
LUSER=labuser
LUID=1234
BASE=/var/lib/$LAB
CG=/sys/fs/cgroup/unified
[ -d "$CG" ] || CG=/sys/fs/cgroup
CG=$CG/$LAB
PIDF=$BASE/pid1

inside() { # the first process of the new namespaces; ends by becoming systemd
  mount --make-rprivate /
  mount -t tmpfs -o mode=755,size=2g tmpfs "$BASE"
  mkdir -p "$BASE"/{upper,work,root}
  mount -t overlay overlay -o lowerdir=/,upperdir="$BASE/upper",workdir="$BASE/work" "$BASE/root"
  local R=$BASE/root n d b u
  mount -t proc proc "$R/proc"
  mount -t sysfs -o ro sysfs "$R/sys"
  mount -t tmpfs -o mode=755 tmpfs "$R/sys/fs/cgroup" 2>/dev/null || true
  mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$R/dev"
  for n in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
    set -- $n
    mknod -m 666 "$R/dev/$1" c "$2" "$3"
  done
  mkdir -p "$R/dev/pts" "$R/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$R/dev/pts"
  ln -s pts/ptmx "$R/dev/ptmx"
  ln -s /proc/self/fd "$R/dev/fd"
  ln -s fd/0 "$R/dev/stdin"
  ln -s fd/1 "$R/dev/stdout"
  ln -s fd/2 "$R/dev/stderr"
  mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"
  # a /tmp of its own: systemd-tmpfiles empties the one it finds
  for d in run:755 tmp:1777 var/tmp:1777 var/log/journal:2755; do
    mkdir -p "$R/${d%:*}"
    mount -t tmpfs -o mode="${d#*:}" tmpfs "$R/${d%:*}"
  done
  chgrp systemd-journal "$R/var/log/journal" # on disk: journals by user
  for b in ${LAB_BIND:-}; do
    mkdir -p "$R$b"
    mount --bind "$b" "$R$b"
  done
  # what the user has to read may lie in root's home; this is in the overlay alone
  for b in ${LAB_OPEN:-}; do chmod o+x "$R$b"; done
  echo "$LUSER:x:$LUID:$LUID::/home/$LUSER:/bin/bash" >>"$R/etc/passwd"
  echo "$LUSER:x:$LUID:" >>"$R/etc/group"
  echo "$LUSER:*:19000:0:99999:7:::" >>"$R/etc/shadow" # PAM asks for it
  install -d -m 700 -o "$LUID" -g "$LUID" "$R/home/$LUSER"
  mkdir -p "$R/var/lib/systemd/linger"
  : >"$R/var/lib/systemd/linger/$LUSER" # what `loginctl enable-linger` does
  # nothing that would touch the kernel, devices, the clock or real mounts
  mkdir -p "$R/run/systemd/system"
  for u in systemd-sysctl.service systemd-modules-load.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-remount-fs.service systemd-timesyncd.service \
    systemd-random-seed.service systemd-update-utmp.service systemd-hwdb-update.service systemd-binfmt.service \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
    dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount modprobe@.service systemd-firstboot.service \
    getty.target console-getty.service tmp.mount apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer exim4-base.timer man-db.timer fstrim.timer exim4.service cron.service \
    systemd-tmpfiles-setup-dev.service; do
    ln -sf /dev/null "$R/run/systemd/system/$u"
  done
  cat >"$R/run/systemd/system/lab.target" <<U
[Unit]
Description=a lab
Requires=basic.target
Wants=systemd-journald.service dbus.service systemd-logind.service user@$LUID.service
After=basic.target systemd-journald.service dbus.service user@$LUID.service
AllowIsolate=yes
U
  mkdir -p "$R/run/systemd/journald.conf.d"
  printf '[Journal]\nStorage=persistent\nReadKMsg=no\nForwardToSyslog=no\nRateLimitBurst=0\nSystemMaxUse=64M\n' \
    >"$R/run/systemd/journald.conf.d/lab.conf"
  mkdir -p "$R/run/systemd/logind.conf.d"
  printf '[Login]\nUserStopDelaySec=0\n' >"$R/run/systemd/logind.conf.d/lab.conf"
  mount -o remount,ro,bind "$R/sys" 2>/dev/null || true
  mount --bind "$R/proc/sys" "$R/proc/sys"
  mount -o remount,ro,bind "$R/proc/sys"
  cd "$R"
  mkdir -p run/oldroot
  pivot_root . run/oldroot
  cd /
  umount -l /run/oldroot
  rmdir /run/oldroot
  hostname lab
  ip link set lo up 2>/dev/null || true
  exec </dev/null >/dev/null 2>&1
  exec setpriv --bounding-set -sys_time,-sys_module,-sys_boot,-sys_rawio,-mknod --inh-caps -all \
    env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --unit=lab.target --log-target=journal --show-status=0
}

up() {
  mkdir -p "$BASE" "$CG"
  rm -f "$PIDF"
  # the launcher joins the new group first, so that the namespace of control groups begins there
  setsid bash -c "echo \$\$ >$CG/cgroup.procs; exec unshare --mount --pid --cgroup --uts --ipc --net --fork --kill-child=SIGKILL '$0' __inside" \
    </dev/null >"$BASE.log" 2>&1 &
  local launcher=$! p
  for _ in $(seq 200); do
    p=$(pgrep -P "$launcher" 2>/dev/null | head -1 || true)
    if [ -n "$p" ] && [ "$(cat "/proc/$p/comm" 2>/dev/null)" = systemd ]; then
      echo "$p" >"$PIDF"
      if root systemctl is-active -q "user@$LUID.service" 2>/dev/null && root test -S "/run/user/$LUID/bus"; then
        return
      fi
    fi
    sleep 0.1
  done
  cat "$BASE.log" >&2
  return 1
}

ns() { nsenter -t "$(cat "$PIDF")" -m -p -C -u -i -n -r -w "$@"; }
root() { ns env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb SYSTEMD_PAGER= SYSTEMD_COLORS=0 LANG=C.UTF-8 "$@"; }
user() {
  ns setpriv --reuid "$LUID" --regid "$LUID" --init-groups env -i -C "/home/$LUSER" HOME="/home/$LUSER" USER="$LUSER" \
    LOGNAME="$LUSER" SHELL=/bin/bash PATH="/home/$LUSER/.local/bin:/usr/local/bin:/usr/bin:/bin" TERM=dumb SYSTEMD_PAGER= \
    SYSTEMD_COLORS=0 LANG=C.UTF-8 XDG_RUNTIME_DIR="/run/user/$LUID" \
    DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$LUID/bus" "$@"
}

down() {
  [ ! -s "$PIDF" ] || kill -9 "$(cat "$PIDF")" 2>/dev/null || true
  [ ! -e "$CG/cgroup.kill" ] || echo 1 >"$CG/cgroup.kill" 2>/dev/null || true
  for _ in $(seq 50); do
    [ ! -d "$CG" ] || find "$CG" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    [ -d "$CG" ] || break
    sleep 0.1
  done
  rm -f "$PIDF" "$BASE.log"
  rmdir "$BASE" 2>/dev/null || true
}

case ${1:-} in
  __inside) inside ;;
  up) up ;;
  down) down ;;
  root | user)
    who=$1
    shift
    "$who" "$@"
    ;;
  *)
    sed -n '2,13p' "$0"
    exit 2
    ;;
esac
