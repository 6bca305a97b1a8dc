"""The S3 errors that the gateway answers with."""

from pachyderm_standin import xml

ERRORS: dict[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header you provided is invalid."),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BucketAlreadyOwnedByYou": (409, "The bucket you tried to create already exists, and you own it."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "EntityTooSmall": (
        400,
        "Your proposed upload is smaller than the minimum allowed object size. Each part must be at least 5 MB in "
        "size, except the last part.",
    ),
    "IllegalVersioningConfigurationException": (
        400,
        "The versioning configuration specified in the request is invalid.",
    ),
    "IncompleteBody": (
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    ),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The AWS access key ID you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDelimiter": (400, "The delimiter you specified is invalid. It must be '' or '/'."),
    "InvalidDigest": (400, "The Content-MD5 you specified is not valid."),
    "InvalidFilePath": (400, "Invalid file path"),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found. The part might not have been uploaded, or the "
        "specified entity tag might not have matched the part's entity tag.",
    ),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts list must be specified in order by part number.",
    ),
    "InvalidRequest": (400, "source and destination are the same"),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or would not validate against S3's published schema.",
    ),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (
        404,
        "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload "
        "might have been aborted or completed.",
    ),
    "NotImplemented": (501, "This functionality is not implemented."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the server's time is too large."),
    "RequestTimeout": (
        400,
        "Your socket connection to the server was not read from or written to within the timeout period.",
    ),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. Check your auth credentials "
        "and signing method.",
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "WriteToOutputBranch": (400, "You cannot write to an output branch"),
}


class S3Error(Exception):
    """An error that becomes an XML answer; status and message follow from the code where they are not given."""

    def __init__(self, code: str, message: str = "", status: int = 0) -> None:
        known_status, known_message = ERRORS.get(code, (500, code))
        self.code = code
        self.message = message or known_message
        self.status = status or known_status
        super().__init__(f"[{code}] {self.message}")

    def document(self, resource: str, request_id: str) -> bytes:
        """Write the answer's body."""
        return xml.document(
            "Error",
            [("Code", self.code), ("Message", self.message), ("Resource", resource), ("RequestId", request_id)],
            namespace="",
        )
