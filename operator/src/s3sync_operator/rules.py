"""What Pachyderm and S3 refuse in a spec, as data: the CRD's rules and the model's checks are both made of it.

Sources: Pachyderm's `ancestry.ValidateName` (names), the S3 gateway's key rules and bucket names, RFC 1123 (hosts).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A string passes when the regular expression (the part that RE2 and Python share) matches all of it, or none."""

    regex: str
    message: str
    forbid: bool = False

    def accepts(self, value: str) -> bool:
        """Tell whether the value keeps the rule."""
        return bool(re.fullmatch(self.regex, value)) != self.forbid

    @property
    def cel(self) -> str:
        """The same check as a CEL expression over `self`."""
        literal = "'" + self.regex.replace("\\", "\\\\").replace("'", "\\'") + "'"
        anchored = literal[0] + "^(?:" + literal[1:-1] + ")$" + literal[-1]
        return f"{'!' if self.forbid else ''}self.matches({anchored})"


_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])"
_DNS1123 = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"

NAME_CHARACTERS = Rule(
    r"[A-Za-z0-9_-]+", "may hold only letters, digits, '_' and '-': Pachyderm refuses any other name"
)
NOT_RESERVED = Rule(
    r"_s3gateway_multipart_",
    "is the repo that Pachyderm's S3 gateway keeps its uploads in; choose another",
    forbid=True,
)
NOT_A_COMMIT_ID = Rule(
    r"[0-9a-fA-F]{32}",
    "looks like a commit ID, which a bucket name could not tell from a branch; choose another",
    forbid=True,
)
NOT_A_STAGING_BRANCH = Rule(
    r"s3sync-[0-9a-f]{16}-w[0-9]+",
    "is what the operator calls the branches that workers stage on, which it removes; choose another",
    forbid=True,
)
PROJECT_START = Rule(r"[A-Za-z0-9].*", "must start with a letter or a digit")
ENDPOINT = Rule(
    rf"(https?://)?{_HOST}(:{_PORT})?/?",
    "must be http://host:port, https://host:port or host:port (which means http), without a path",
)
KEY_CHARACTERS = Rule(
    r"""[ "#-',->A-Z_`a-z|~]+""",
    "becomes part of the keys in the repo and may hold only printable ASCII without * ? [ ] { } ! ( ) @ + ^ \\",
)
PATH_ELEMENTS = Rule(
    r"(.*/)?\.{1,2}(/.*)?|.*//.*", "must have no empty, '.' or '..' element between its slashes", forbid=True
)
PATH_NOT_ROOT = Rule(r"/", "must name a directory below '/'", forbid=True)
OBJECT_NAME = Rule(_DNS1123, "must be a name of Kubernetes: lower-case letters, digits, '-' and '.'")
NAMESPACE = Rule(
    r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
    "is not the name of a namespace: lower-case letters, digits and '-', 63 at most",
)
SECRET_NAME = Rule(_DNS1123, "must be the name of a Secret: lower-case letters, digits, '-' and '.'")
NOT_STAGING = Rule(
    r"/?\.s3sync(/.*)?", "must not be the folder .s3sync, in which workers keep their manifests", forbid=True
)
PACHD_ADDRESS = Rule(
    rf"(grpcs?://)?{_HOST}:{_PORT}", "must be grpc://host:port, grpcs://host:port (TLS) or host:port, which means grpc"
)
PATTERN = Rule(r"[^#\n\r][^\n\r]*", "must be one line, a pattern as in .gitignore, and no comment")
IMAGE = Rule(
    r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", "must be an image reference such as registry.example.com/team/s3sync-job:0.1.0"
)

SUB_PATH = Rule(
    r"/.*|(.*/)?\.\.(/.*)?", "must be a relative path without '..': it starts at the volume's top level", forbid=True
)


def _cron_field(number: str, names: str = "") -> str:
    value = rf"({number}|(?i:{names}))" if names else rf"({number})"
    item = rf"(\*|{value}(-{value})?)(/[1-9][0-9]{{0,2}})?"
    return rf"{item}(,{item})*"


_CRON = r"[ \t]+".join(
    (
        _cron_field("[0-5]?[0-9]"),
        _cron_field("[01]?[0-9]|2[0-3]"),
        _cron_field("0?[1-9]|[12][0-9]|3[01]"),
        _cron_field("0?[1-9]|1[0-2]", "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"),
        _cron_field("[0-7]", "sun|mon|tue|wed|thu|fri|sat"),
    )
)
SCHEDULE = Rule(
    rf"{_CRON}|@(hourly|daily|midnight|weekly|monthly|yearly|annually)",
    "must be cron's five fields, minute hour day-of-month month day-of-week, as '0 3 * * *', or @hourly, @daily, "
    "@weekly, @monthly or @yearly",
)
TIME_ZONE = Rule(
    r"[A-Za-z]+[A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", "must be an IANA time zone's name, as Europe/Berlin or UTC"
)
DURATION = Rule(
    r"([0-9]{1,5}h)?([0-9]{1,5}m)?[0-9]{1,5}s|([0-9]{1,5}h)?[0-9]{1,5}m|[0-9]{1,5}h",
    "must be hours, minutes and seconds, as 1h30m, 15m or 90s",
)
ONE_SOURCE = "must name exactly one of persistentVolumeClaim, configMap, secret, hostPath and volume"


@dataclass(frozen=True)
class Together:
    """Two fields that must fit each other: `field` is told off where `refused(spec)` holds of the spec's plain values.

    `cel` is the same check, true where the spec may pass.
    """

    field: str
    cel: str
    refused: Callable[[Mapping[str, object]], bool]
    message: str


_NEEDED = r"tmp|run|var|opt|(opt/venv|run/secrets|var/run|bin|dev|etc|lib|lib32|lib64|proc|sbin|sys|usr)(/.*)?"
MOUNT_PATH = Rule(rf"/?({_NEEDED})/?|.*:.*", "", forbid=True)


def _mounts_well(spec: Mapping[str, object]) -> bool:
    return "source" not in spec or MOUNT_PATH.accepts(str(spec.get("inputPath", "")))


SOURCE_HIDES_NOTHING = Together(
    "inputPath",
    f"!has(self.source) || !has(self.inputPath) || {MOUNT_PATH.cel.replace('self.', 'self.inputPath.')}",
    lambda spec: not _mounts_well(spec),
    "is where the source is mounted, so it can hold no ':' and be none of the directories that a container needs "
    "(/bin, /dev, /etc, /lib, /opt, /proc, /run, /sbin, /sys, /tmp, /usr, /var); choose another, such as /data, and "
    "destinationPath for where it lands in the repo",
)
PRUNE_IS_ATOMIC = Together(
    "prune",
    "!has(self.prune) || !has(self.publish) || self.publish != 'Direct'",
    lambda spec: "prune" in spec and spec.get("publish") == "Direct",
    "deletes in the commit that publishes, so it cannot go with publish: Direct; remove one of the two",
)
