#!/bin/sh
# What boot-systemd.sh is told to run for tests of a checkout: REPOSITORY with its units, as /opt/vtepd, and NODE to run it with, both read-only.
set -e
REPOSITORY=$1 NODE=$2
# The folder that it is in becomes the root; the machine's own must not.
[ "$(stat -f -c %T .)" = overlayfs ]

mkdir -p opt/vtepd etc/vtepd
mount --bind "$REPOSITORY" opt/vtepd
mount -o remount,bind,ro opt/vtepd
ln -sf /opt/vtepd/bin/vtepd /opt/vtepd/bin/vtepctl usr/local/bin/
rm -f usr/local/bin/node
: > usr/local/bin/node
mount --bind "$NODE" usr/local/bin/node
mount -o remount,bind,ro usr/local/bin/node

systemd-sysusers --root=. - < opt/vtepd/systemd/vtepd.sysusers
cp opt/vtepd/systemd/*.service etc/systemd/system/
