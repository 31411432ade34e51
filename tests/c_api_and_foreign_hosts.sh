#!/bin/bash
. "$(dirname "$0")/../scripts/lib.sh"
need redis-cli redis-server
exec python3 "$(dirname "$0")/foreign/capi.py" "$@"
