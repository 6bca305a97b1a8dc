#!/bin/sh
# Removes from a virtual environment what s3sync-job never loads. Usage: prune.sh ENVIRONMENT
set -eu
cd "$1"/lib/python3.*/site-packages
test -d tensorflow && test -d tensorflow_io && test -d botocore/data/s3

# Headers, compilers, TensorFlow Lite, tensorflow-io's other libraries, and the API descriptions of every other AWS service.
rm -rf tensorflow/include tensorflow/compiler tensorflow/lite tensorflow/xla_aot_runtime_src
find tensorflow_io -name '*.so' ! -name libtensorflow_io_plugins.so -delete
find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -rf {} +
find . -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
