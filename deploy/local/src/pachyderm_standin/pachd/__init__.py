"""The gRPC front: the calls of Pachyderm's API that a sync makes, on the same file system as the S3 gateway."""
