"""Copies a directory tree through an S3 gateway with TensorFlow ``file_io``, reads it back, verifies it and reports."""
