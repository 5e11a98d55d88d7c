#!/usr/bin/env bash
# The package where no systemd runs, as in a container or an image that is being made. $1: a package, $2: a newer one.
source "${BASH_SOURCE[0]%/*}/checks.sh"
config=/etc/vtepd/vtepd.yaml
enabled=/etc/systemd/system/multi-user.target.wants/vtepd.service

# with_daemon COMMAND FLAG…: the installed daemon as its service would start it, and the command once vtepctl reaches it.
with_daemon() {
  local command=$1 pid tries=0 code
  shift
  mkdir -p /run/vtepd
  (. /etc/default/vtepd && exec vtepd $VTEPD_OPTIONS "$@") >/tmp/vtepd.log 2>&1 &
  pid=$!
  until vtepctl status >/tmp/status 2>&1; do
    kill -0 "$pid" || { cat /tmp/vtepd.log; return 1; }
    [[ $((tries += 1)) -lt 100 ]] || { cat /tmp/status; kill "$pid"; return 1; }
    sleep 0.1
  done
  "$command"
  code=$?
  cat /tmp/status
  kill -TERM "$pid" && wait "$pid" && [[ $code == 0 ]]
}

has_no_vni() { grep -qx 'vnis: *0' /tmp/status; }

has_a_tap() { grep -qx 'vnis: *1' /tmp/status && ip -o link show vxlan100 && [[ $(vtepctl vni show 100 | tail -n 1) == *ok ]]; }

runs_on_a_tap() {
  ip link set lo up && ip link add up0 type veth peer name up1 && ip addr add 198.18.0.1/24 dev up0 || return
  ip link set up0 up && ip link set up1 up || return
  with_daemon has_a_tap --dev up0 --vni 100,remote=198.18.0.2 && ! ip link show vxlan100
}

check 'installs' dpkg -i "$1"
check 'its files are what was packed' dpkg --verify vtepd
check 'vtepd --version' vtepd --version
check 'the configuration is valid' vtepd --check --config "$config"
check 'the example is valid' vtepd --check --config /usr/share/doc/vtepd/examples/vtepd.yaml
check 'the user is there' getent passwd vtepd
check 'the group is there' getent group vtepd
check 'the service is enabled' test -L "$enabled"
check 'the service has its flags' grep -q '^VTEPD_OPTIONS=' /etc/default/vtepd
check 'the daemon runs with the configuration as installed' with_daemon has_no_vni
check 'the daemon runs on a TAP' runs_on_a_tap
echo '# edited' >>"$config"
check 'installs again' dpkg -i "$1"
rm "$enabled" # as systemctl disable does
check 'upgrades' dpkg -i "$2"
check 'keeps an edited configuration' grep -q '^# edited$' "$config"
check 'leaves a disabled service disabled' test ! -e "$enabled"
check 'the newer daemon runs' with_daemon has_no_vni
check 'is the newer one' test "$(dpkg-query -W -f '${Version}' vtepd)" = 0.0.1~test2
check 'removes' dpkg -r vtepd
check 'keeps the configuration when removed' test -e "$config"
check 'installs after removal' dpkg -i "$2"
mkdir -p /var/lib/vtepd && touch /var/lib/vtepd/state
check 'purges' dpkg -P vtepd
rm -rf /run/vtepd
check 'a purge leaves no file' no_file_left
check 'a purge leaves no user' no_user_left
finish
