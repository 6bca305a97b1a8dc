#!/bin/sh
# Removes the installers that a base image brings for its own interpreter, where it brings any: the finished image
# installs nothing, and each of them is one more package to patch.
set -eu
for packages in /usr/local/lib/python3.*/site-packages; do
    for name in pip setuptools wheel pkg_resources _distutils_hack; do
        rm -rf "$packages/$name" "$packages/$name"-*.dist-info
    done
    rm -f "$packages/distutils-precedence.pth"
done
rm -f /usr/local/bin/pip* /usr/local/bin/wheel
rm -rf /usr/local/lib/python3.*/ensurepip
if python3 -m pip --version 2>/dev/null; then
    echo "the base image keeps its pip where drop-pip.sh does not look" >&2
    exit 1
fi
