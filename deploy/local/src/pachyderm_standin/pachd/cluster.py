"""Calls about the server itself."""

from pachyderm_sdk.api import admin, auth, version

from pachyderm_standin.pachd.calls import Call
from pachyderm_standin.pachd.messages import Message

MICRO = 2
ROOT_USER = "pach:root"


async def get_version(call: Call, _request: Message) -> Message:
    """Tell the version that the stand-in answers as."""
    release = call.gateway.release
    return version.Version(major=release.major, minor=release.minor, micro=MICRO)


async def inspect_cluster(_call: Call, _request: Message) -> Message:
    """Tell who the server is."""
    return admin.ClusterInfo(id="pachyderm-standin", deployment_id="pachyderm-standin", warnings_ok=True)


async def who_am_i(_call: Call, _request: Message) -> Message:
    """Tell the caller's name: every known token is root's."""
    return auth.WhoAmIResponse(username=ROOT_USER)
