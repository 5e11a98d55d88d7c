#!/bin/sh
# Boots a systemd in namespaces of its own, on a root that is an overlay in memory: nothing it or its services write, clean or delete reaches
# the machine. Arguments: FOLDER (empty, of the caller), SYSTEM (the folder below the overlay, / for the machine's own), and COMMAND…, which
# runs in the root to be. FOLDER/pid gets the pid of the service manager.
set -e

if [ "$1" = inside ]; then
  # Only the first process of its own namespaces may do what follows.
  [ $$ = 1 ]
  FOLDER=$2 SYSTEM=$3
  shift 3
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$FOLDER"
  cd "$FOLDER"
  mkdir upper work root
  mount -t overlay overlay -o lowerdir="$SYSTEM",upperdir=upper,workdir=work root
  cd root

  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  for folder in dev run tmp var/tmp var/log var/lib/systemd; do mount -t tmpfs -o mode=0755 tmpfs "$folder"; done
  chmod 1777 tmp var/tmp
  mkdir -p dev/net dev/shm dev/pts
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  while read -r name major minor; do mknod -m 0666 "dev/$name" c "$major" "$minor"; done <<NODES
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
NODES

  # Of the machine's own services none is wanted.
  rm -rf etc/systemd/system
  mkdir -p etc/systemd/system run/systemd/system
  : > etc/fstab
  : > etc/machine-id
  for unit in systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-tmpfiles-clean systemd-sysctl systemd-udevd systemd-udev-trigger \
    systemd-modules-load systemd-random-seed systemd-remount-fs systemd-update-utmp systemd-sysusers; do
    ln -s /dev/null "etc/systemd/system/$unit.service"
  done
  "$@"

  ip link set lo up
  ip link add eth0 type veth peer name cable
  ip link set cable up
  ip link set eth0 up
  ip addr add 198.18.0.1/24 dev eth0
  ip route add 224.0.0.0/4 dev eth0

  mkdir old
  pivot_root . old
  umount -l /old
  # What systemd cleans at a boot, /tmp among it, must be the overlay's and never the machine's.
  [ "$(stat -f -c %T /)" = overlayfs ]
  exec env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin container=test /lib/systemd/systemd --system --unit=basic.target
fi

# A branch of the control groups of its own, so that two of these do not take each other's processes for theirs.
unshare --mount sh -es "$0" "$@" <<'BRANCH'
  script=$1 folder=$2
  shift 2
  mkdir "$folder/groups" "$folder/root"
  mount -t cgroup2 cgroup2 "$folder/groups"
  branch=$folder/groups/$(basename "$folder")
  mkdir "$branch"
  namespaces='--fork --pid --mount --net --uts --ipc --cgroup'
  sh -c 'echo $$ > "$1/cgroup.procs" && shift && exec unshare "$@"' sh "$branch" $namespaces sh "$script" inside "$folder/root" "$@" &
  for _ in $(seq 200); do pgrep -P $! > "$folder/pid" && break || sleep 0.05; done
  wait $! || :
  find "$branch" -depth -type d -exec rmdir {} +
BRANCH
