#!/bin/sh
# Removes from a site-packages folder what s3sync-job never loads. Usage: prune.sh SITE_PACKAGES
set -eu
packages=$1
cd "$packages"
test -d tensorflow && test -d tensorflow_io

rm -rf tensorflow/include tensorflow/lite tensorflow/xla_aot_runtime_src
find tensorflow_io -name '*.so' ! -name libtensorflow_io_plugins.so -delete
find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -rf {} +
rm -rf pip pip-*.dist-info setuptools setuptools-*.dist-info
find . -name '__pycache__' -type d -prune -exec rm -rf {} +
