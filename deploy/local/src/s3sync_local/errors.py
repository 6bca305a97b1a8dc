"""The errors that the local cluster raises; each message says what is wrong and what to do."""


class LocalClusterError(Exception):
    """Base of every error below, so that a caller can catch what this package reports in one clause."""


class MissingToolError(LocalClusterError):
    """A program that the build or the cluster needs is not there."""


class BuildError(LocalClusterError):
    """The Go build of a component failed; the message ends with the compiler's own words."""


class ComponentError(LocalClusterError):
    """A component did not start or ended too early; the message names it, its log and the log's tail."""


class StateDirError(LocalClusterError):
    """A state directory cannot be used, for it holds files that are not ours or belongs to a running cluster."""


class KubectlError(LocalClusterError):
    """kubectl ended with an error; the message holds what it wrote to standard error."""


class ImageError(LocalClusterError):
    """A container image could not be built, read or described; the message ends with the builder's own words."""


class SandboxError(LocalClusterError):
    """The namespaces or cgroups that a real node runs in cannot be made or removed."""
