#!/usr/bin/env bash
# What lintian says of the package $1. The licences that the dependencies came with stay beside them, each in its folder.
source "${BASH_SOURCE[0]%/*}/checks.sh"
check 'lintian finds no error and no warning' lintian --allow-root --fail-on error,warning "$1"
finish
