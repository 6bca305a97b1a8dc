"""A real Kubernetes on one machine, without containers and without root; see LocalCluster in `cluster`."""
