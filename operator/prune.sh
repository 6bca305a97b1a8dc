#!/bin/sh
# Removes from a virtual environment what the operator never loads. Usage: prune.sh ENVIRONMENT
set -eu
cd "$1"/lib/python3.*/site-packages
test -d kubernetes/aio && test -d botocore/data/s3

# The command line is for people's machines.
test -d s3sync_cli
rm -r s3sync_cli ../../../bin/s3sync ../../../bin/kubectl-s3sync ../../../bin/kubectl_complete-s3sync

# The API descriptions of every other AWS service, sources of compiled modules, and tests.
find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -rf {} +
find . \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -type f -delete
find . -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
