#!/bin/bash
exec python3 "$(dirname "$0")/foreign/capi.py" "$@"
