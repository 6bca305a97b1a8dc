"""A node of the local cluster: runs pods as processes of this user and serves their logs, without root or containers.

Seen through the API it behaves as a kubelet (and, for its own name, as the scheduler) does. What a process cannot have:

- Mounts. An ``emptyDir`` at ``/tmp`` and the service account's token are left out; any other mount fails the pod with
  reason ``UnsupportedVolume``.
- A ``/dev/termination-log`` of its own. Its path stands in ``S3SYNC_TERMINATION_LOG``.
- An own file system, user, network or limits. ``resources``, ``securityContext``, probes, lifecycle hooks, affinity and
  tolerations are accepted and ignored; every pod has the address 127.0.0.1.
"""
