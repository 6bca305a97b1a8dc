"""Operations on buckets, which are branches of repos."""

from aiohttp import web

from pachyderm_standin import xml
from pachyderm_standin.gateway import Gateway
from pachyderm_standin.model import AlreadyExistsError, BranchNotFoundError, InvalidNameError, RepoNotFoundError
from pachyderm_standin.names import canonical_bucket
from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.s3.request import S3Request
from pachyderm_standin.s3.responses import LOCATION, OWNER, document_response, seconds_time, xml_response


async def list_buckets(gateway: Gateway, request: S3Request) -> web.Response:
    """List every branch of every repo by its canonical name."""
    buckets: list[xml.Field] = [
        (
            "Bucket",
            [
                ("Name", canonical_bucket(branch, repo.ref.name, repo.ref.project)),
                ("CreationDate", seconds_time(repo.created)),
            ],
        )
        for repo in gateway.pfs.repos.values()
        for branch in repo.branches
    ]
    return document_response(request, "ListAllMyBucketsResult", [("Owner", OWNER), ("Buckets", buckets)])


async def create_bucket(gateway: Gateway, request: S3Request) -> web.Response:
    """Make the branch, and the repo if it is missing; a commit in the name is ignored."""
    ref = gateway.bucket_ref(request.bucket)
    try:
        gateway.pfs.create_repo(ref.repo)
    except AlreadyExistsError as error:
        if ref.branch in gateway.pfs.repo(ref.repo).branches:
            raise S3Error("BucketAlreadyOwnedByYou") from error
    except InvalidNameError as error:
        raise _invalid_name(ref.repo.name, error) from error
    try:
        gateway.pfs.create_branch(ref.repo, ref.branch)
    except InvalidNameError as error:
        raise _invalid_name(ref.branch, error) from error
    return web.Response()


def _invalid_name(name: str, error: InvalidNameError) -> S3Error:
    # The gateway recognises the error by its words, and an empty name escapes it.
    return S3Error("InvalidBucketName") if name else S3Error("InternalError", str(error))


async def delete_bucket(gateway: Gateway, request: S3Request) -> web.Response:
    """Delete a branch without files, and the repo with its last branch."""
    ref = gateway.bucket_ref(request.bucket)
    try:
        head = gateway.pfs.branch(ref.repo, ref.branch).head
    except (RepoNotFoundError, BranchNotFoundError) as error:
        raise S3Error("NoSuchBucket") from error
    await gateway.finisher.wait(head)
    if gateway.pfs.tree(head).files:
        raise S3Error("BucketNotEmpty")
    gateway.pfs.delete_branch(ref.repo, ref.branch)
    if not gateway.pfs.repo(ref.repo).branches:
        gateway.pfs.delete_repo(ref.repo)
    return web.Response(status=204)


async def get_location(gateway: Gateway, request: S3Request) -> web.Response:
    """Tell where the bucket is, which is always the same place."""
    gateway.existing_bucket(request.bucket)
    return xml_response(request, xml.text_document("LocationConstraint", LOCATION))


async def get_versioning(gateway: Gateway, request: S3Request) -> web.Response:
    """Tell that versions are kept."""
    gateway.existing_bucket(request.bucket)
    return document_response(request, "VersioningConfiguration", [("Status", "Enabled")])


async def put_versioning(gateway: Gateway, request: S3Request) -> web.Response:
    """Accept that versions are kept, and nothing else."""
    status = (await request.document("VersioningConfiguration")).findtext("Status", "")
    if status not in {"", "Suspended", "Enabled"}:
        raise S3Error("IllegalVersioningConfigurationException")
    gateway.existing_bucket(request.bucket)
    if status != "Enabled":
        raise S3Error("NotImplemented")
    return web.Response()
