"""The methods of pachd's gRPC API that are used, each with its messages."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue

from s3sync_pachyderm.proto import pfs_pb2 as pfs
from s3sync_pachyderm.proto import version_pb2 as version

RequestT = TypeVar("RequestT", bound=Message)
AnswerT = TypeVar("AnswerT", bound=Message)


@dataclass(frozen=True)
class Method(Generic[RequestT, AnswerT]):
    """A method: its path, what it is sent and what it answers."""

    path: str
    request: type[RequestT]
    answer: type[AnswerT]

    @property
    def name(self) -> str:
        """Its name, as `InspectBranch`."""
        return self.path.rpartition("/")[2]


class Unary(Method[RequestT, AnswerT]):
    """One request, one answer."""


class Download(Method[RequestT, AnswerT]):
    """One request, a stream of answers."""


class Upload(Method[RequestT, AnswerT]):
    """A stream of requests, one answer."""


CREATE_REPO = Unary("/pfs_v2.API/CreateRepo", pfs.CreateRepoRequest, Empty)
INSPECT_REPO = Unary("/pfs_v2.API/InspectRepo", pfs.InspectRepoRequest, pfs.RepoInfo)
DELETE_REPO = Unary("/pfs_v2.API/DeleteRepo", pfs.DeleteRepoRequest, Empty)

CREATE_BRANCH = Unary("/pfs_v2.API/CreateBranch", pfs.CreateBranchRequest, Empty)
INSPECT_BRANCH = Unary("/pfs_v2.API/InspectBranch", pfs.InspectBranchRequest, pfs.BranchInfo)
LIST_BRANCH = Download("/pfs_v2.API/ListBranch", pfs.ListBranchRequest, pfs.BranchInfo)
DELETE_BRANCH = Unary("/pfs_v2.API/DeleteBranch", pfs.DeleteBranchRequest, Empty)

START_COMMIT = Unary("/pfs_v2.API/StartCommit", pfs.StartCommitRequest, pfs.Commit)
FINISH_COMMIT = Unary("/pfs_v2.API/FinishCommit", pfs.FinishCommitRequest, Empty)
CLEAR_COMMIT = Unary("/pfs_v2.API/ClearCommit", pfs.ClearCommitRequest, Empty)
INSPECT_COMMIT = Unary("/pfs_v2.API/InspectCommit", pfs.InspectCommitRequest, pfs.CommitInfo)
LIST_COMMIT = Download("/pfs_v2.API/ListCommit", pfs.ListCommitRequest, pfs.CommitInfo)
DROP_COMMIT = Unary("/pfs_v2.API/DropCommit", pfs.DropCommitRequest, Empty)

MODIFY_FILE = Upload("/pfs_v2.API/ModifyFile", pfs.ModifyFileRequest, Empty)
GET_FILE = Download("/pfs_v2.API/GetFile", pfs.GetFileRequest, BytesValue)
GET_FILE_TAR = Download("/pfs_v2.API/GetFileTAR", pfs.GetFileRequest, BytesValue)
INSPECT_FILE = Unary("/pfs_v2.API/InspectFile", pfs.InspectFileRequest, pfs.FileInfo)
WALK_FILE = Download("/pfs_v2.API/WalkFile", pfs.WalkFileRequest, pfs.FileInfo)
DIFF_FILE = Download("/pfs_v2.API/DiffFile", pfs.DiffFileRequest, pfs.DiffFileResponse)

GET_FILE_SET = Unary("/pfs_v2.API/GetFileSet", pfs.GetFileSetRequest, pfs.CreateFileSetResponse)
ADD_FILE_SET = Unary("/pfs_v2.API/AddFileSet", pfs.AddFileSetRequest, Empty)
COMPOSE_FILE_SET = Unary("/pfs_v2.API/ComposeFileSet", pfs.ComposeFileSetRequest, pfs.CreateFileSetResponse)

GET_VERSION = Unary("/versionpb_v2.API/GetVersion", Empty, version.Version)
