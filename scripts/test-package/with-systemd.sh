#!/usr/bin/env bash
# The package on a host that systemd runs, as an administrator meets it. $1: a package, $2: a newer one.
#
#     vxlan100 192.0.2.1 ── vtepd.service ── eth0 198.18.0.1 ── cable 198.18.0.2 ── the kernel's vxlan100 192.0.2.2
#                                                                └─ in the namespace far
source "${BASH_SOURCE[0]%/*}/checks.sh"
config=/etc/vtepd/vtepd.yaml

is_active() { systemctl is-active "${1:-vtepd}"; }
main_pid() { systemctl show -P MainPID "${1:-vtepd}"; }
version_running() { vtepctl status | sed -n 's/^version: *//p'; }
vnis() { vtepctl status | sed -n 's/^vnis: *//p'; }
tap_index() { cat /sys/class/net/vxlan100/ifindex; }
same_tap() { [[ -n $index && $(tap_index) == "$index" ]]; }

# configure LINE…: the whole file.
configure() { printf '%s\n' "$@" >"$config"; }
no_tap() { ! ls -d /sys/class/net/vxlan*; }

far_host() {
  ip netns add far && ip link set cable netns far || return
  ip -n far addr add 198.18.0.2/24 dev cable && ip -n far link set cable up || return
  ip -n far link add vxlan100 type vxlan id 100 remote 198.18.0.1 local 198.18.0.2 dev cable dstport 4789 || return
  ip -n far addr add 192.0.2.2/24 dev vxlan100 && ip -n far link set vxlan100 up
}

pings() { ping -c 3 -i 0.2 -w 10 192.0.2.2; }
pings_through_a_new_tap() { ip addr add 192.0.2.1/24 dev vxlan100 && pings; }

# refused COMMAND…: it fails, and the service runs on as the same process.
refused() {
  local before
  before=$(main_pid)
  ! "$@" && is_active && [[ $(main_pid) == "$before" ]]
}

# replaced COMMAND…: another process of the version that is installed has taken its place, and says so.
replaced() {
  local before
  before=$(main_pid)
  "$@" && is_active && [[ $(main_pid) != "$before" ]]
}

vtepctl_as() { runuser -u "$1" -- vtepctl status; }

check 'installs as the README says' apt-get install -y "$1"
check 'the service runs at once' is_active
check 'with no VNI' test "$(vnis)" = 0
check 'starts with the host' systemctl is-enabled vtepd
check 'as a user of its own' test "$(stat -c %U "/proc/$(main_pid)")" = vtepd

check 'there is a far host' far_host
configure 'dev: eth0' 'vnis:' '  - vni: 100' '    remote: [198.18.0.2]'
check 'restarts with an edited file' replaced systemctl restart vtepd
check 'carries traffic' pings_through_a_new_tap
check 'shows where the far machine is' grep -q '198.18.0.2 *dynamic' <(vtepctl fdb show)
useradd --groups vtepd member && useradd stranger
check 'a member of the group may ask it' vtepctl_as member
check 'nobody else may' refused vtepctl_as stranger

printf '%s\n' '  - vni: 200' '    group: 239.1.1.2' >>"$config"
pid=$(main_pid)
check 'reloads a file with one VNI more' systemctl reload vtepd
check 'which it has' test "$(vnis)" = 2
check 'in the same process' test "$(main_pid)" = "$pid"
check 'carries traffic still' pings
echo 'port: none' >>"$config"
check 'refuses to reload a file with a fault' refused systemctl reload vtepd
sed -i '$d' "$config"

check 'an upgrade restarts the running service' replaced apt-get install -y "$2"
check 'by the newer version' test "$(version_running)" = "$(dpkg-deb -f "$2" Version)"
check 'and the edited file' test "$(vnis)" = 2
check 'carries traffic after it' pings_through_a_new_tap

echo 'persist: on' >>"$config"
check 'restarts with --persist' replaced systemctl restart vtepd
check 'carries traffic with --persist' pings_through_a_new_tap
index=$(tap_index)
check 'an upgrade restarts it with --persist' replaced apt-get install -y --reinstall "$2"
check 'the TAP is the same' same_tap
check 'with its address, and traffic' pings
check 'and what was learned' grep -q '198.18.0.2 *dynamic' <(vtepctl fdb show)

configure 'vnis: []' 'port: 4790'
mv "$config" /etc/vtepd/red.yaml
configure 'dev: eth0' 'persist: on' 'vnis:' '  - vni: 100' '    remote: [198.18.0.2]'
check 'an instance starts beside it' systemctl enable --now vtepd@red
pid=$(main_pid vtepd@red)
check 'an upgrade restarts the instance too' replaced apt-get install -y --reinstall "$2"
check 'in a new process' test "$(main_pid vtepd@red)" != "$pid"

check 'stops' systemctl stop vtepd
check 'an upgrade leaves a stopped service stopped' apt-get install -y --reinstall "$2"
check 'it is stopped' test "$(is_active)" = inactive
check 'starts again' systemctl start vtepd

check 'removes' apt-get remove -y vtepd
check 'no process is left' test -z "$(find /proc -maxdepth 1 -user vtepd)"
check 'the TAP of --persist is left' same_tap
check 'purges' apt-get purge -y vtepd
check 'a purge leaves no TAP' no_tap
check 'a purge leaves no file' no_file_left
check 'a purge leaves no user' no_user_left
check 'a purge leaves no unit' test -z "$(systemctl list-units --all --plain --no-legend 'vtepd*')"
finish
