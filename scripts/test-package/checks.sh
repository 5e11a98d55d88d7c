# Sourced by the scripts beside it: each step of theirs is a check.
set -uo pipefail
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
passed=0 failed=0

# check NAME COMMAND…
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
    echo "ok: $name"
  else
    failed=$((failed + 1))
    printf 'failed: %s\n%s\n' "$name" "$output"
  fi
}

finish() {
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

no_file_left() {
  local left
  left=$(find / -xdev \( -path /proc -o -path /tmp -o -path /mnt \) -prune -o -name '*vtep*' -print | grep -v '^/var/log/')
  [[ -z $left ]] || { echo "$left"; return 1; }
}

no_user_left() { [[ -z $(getent passwd vtepd)$(getent group vtepd) ]]; }
