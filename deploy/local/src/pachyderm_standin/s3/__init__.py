"""The S3 front of the stand-in, built from what Pachyderm's gateway and its `s2` library do."""
