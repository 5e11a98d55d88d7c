#!/usr/bin/env bash
# The npm package of the repository $1, installed below the folder $2 with no compiler in reach.
source "${BASH_SOURCE[0]%/*}/checks.sh"
repository=$1
export folder=$2/npm socket=$2/npm/vtepd.sock tools=$2/npm/tools:$2/npm/bin
mkdir -p "$folder/tools"
for tool in node npm sh env bash cat sleep ip; do ln -s "$(command -v "$tool")" "$folder/tools/$tool"; done

pack() { cd "$repository" && npm pack --silent --ignore-scripts --pack-destination "$folder"; }
install() { PATH=$tools npm install -g --ignore-scripts --engine-strict --no-audit --no-fund --prefix "$folder" "$folder"/vtepd-*.tgz; }
has_page() { man -M "$folder/share/man" -w "$1"; }

# In a network of its own: the daemon on a TAP, and its table.
forwards() {
  ip link set lo up && ip link add up0 type veth peer name up1 && ip addr add 198.18.0.1/24 dev up0 || return
  ip link set up0 up && ip link set up1 up || return
  local vni=100,remote=198.18.0.2,static=02:00:00:00:00:0b@198.18.0.2 pid tries=0 code
  PATH=$tools env vtepd --dev up0 --vni "$vni" --socket "$socket" &
  pid=$!
  until PATH=$tools env vtepctl --socket "$socket" fdb show >"$folder/fdb" 2>&1; do
    kill -0 "$pid" && [[ $((tries += 1)) -lt 100 ]] || return
    sleep 0.1
  done
  grep '198.18.0.2 *static' "$folder/fdb" && ip link show vxlan100
  code=$?
  kill -TERM "$pid" && wait "$pid" && [[ $code == 0 ]]
}
export -f forwards

check 'packs' pack
check 'installs without a compiler and install scripts, and fits this Node.js' install
check 'vtepd --version' env PATH="$tools" vtepd --version
check 'the example is valid' env PATH="$tools" vtepd --check --config "$folder/lib/node_modules/vtepd/examples/vtepd.yaml"
for page in vtepd vtepctl vtepd.yaml; do check "man $page" has_page "$page"; done
check 'the daemon runs on a TAP' unshare --net --pid --fork --kill-child bash -c forwards
finish
