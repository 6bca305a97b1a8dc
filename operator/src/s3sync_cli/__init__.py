"""`s3sync`, also `kubectl s3sync`: looks at syncs, checks and renders them, and runs them without a cluster."""
