#!/usr/bin/env bash
# Runs once, when the autograder's image is built: Python, the course, and what shuts a program in.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends bubblewrap util-linux python3
python=python3
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    apt-get install -y --no-install-recommends python3.11 python3.11-venv
    python=python3.11
else
    apt-get install -y --no-install-recommends python3-venv
fi
"$python" -m venv /opt/attncourse
/opt/attncourse/bin/pip install --quiet --no-cache-dir \
    --index-url https://download.pytorch.org/whl/cpu "torch>=2.7,<3"
/opt/attncourse/bin/pip install --quiet --no-cache-dir /autograder/source/course
chmod -R go-rwx /autograder/source /opt/attncourse/lib/python3*/site-packages/{attncourse,solutions}
