"""Messages for a bucket's refusals and connection errors, one line each with advice."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from decant.release.store import MissingKeyError, StoreError, SwapLostError

LOST = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
ABSENT = ("NoSuchKey", "404")
KMS, KMS_MENTION = "KMS", re.compile(r"\bkms", re.IGNORECASE)
NAMED_PERMISSION = re.compile(r"perform: ([\w-]+:\w+)")
PAGE_ANSWERS = ("400", "401", "403", "404", "405", "500")  # statuses a web page may have
LONGEST = 300  # characters of a store's message

NOT_S3 = (
    "not an answer from an S3 store: look for a proxy's login page in between, and check that "
    "registry.endpoint in params.yaml is the store's address"
)
BUSY = "the store is overloaded or down: try again later"
ELSEWHERE = (
    "the bucket is in another region: set AWS_DEFAULT_REGION to its region, or correct "
    "registry.endpoint in params.yaml"
)
SESSION = "the session has expired: renew it (`aws sso login`, or a new AWS_SESSION_TOKEN)"
NAMES = "correct registry.bucket or registry.prefix in params.yaml"

# advice, and its codes: the store's, or the HTTP status if it sends none
REFUSALS = (
    (
        "this machine's clock differs from the store's: set it (`timedatectl` shows it)",
        ("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"),
    ),
    (
        "the bucket's quota or size limit is reached: raise it, or remove old objects",
        (
            "QuotaExceeded",
            "QuotaExceededException",
            "ServiceQuotaExceeded",
            "ServiceQuotaExceededException",
            "InsufficientStorage",
            "EntityTooLarge",
            "XMinioAdminBucketQuotaExceeded",
            "XMinioStorageFull",
            "413",
            "507",
        ),
    ),
    (
        "the bucket's KMS key cannot be used: these credentials need kms:GenerateDataKey to write "
        "and kms:Decrypt to read, and the key must be enabled",
        (KMS,),
    ),
    (SESSION, ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired")),
    (
        "the store does not know this access key: correct AWS_ACCESS_KEY_ID or AWS_PROFILE",
        ("InvalidAccessKeyId", "InvalidClientTokenId"),
    ),
    (
        "the secret is not that of the access key: correct AWS_SECRET_ACCESS_KEY",
        ("SignatureDoesNotMatch",),
    ),
    (
        "access denied: these credentials need {permission}",
        ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "401"),
    ),
    (
        ELSEWHERE,
        (
            "PermanentRedirect",
            "TemporaryRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "IllegalLocationConstraint",
            "InvalidLocationConstraint",
            "InvalidRegion",
        ),
    ),
    (
        "it redirects to {location}: log in where a proxy asks for it, set AWS_DEFAULT_REGION to "
        "the bucket's region, or correct registry.endpoint in params.yaml",
        ("301", "302", "303", "307", "308"),
    ),
    (
        BUSY,
        (
            "SlowDown",
            "SlowDownRead",
            "SlowDownWrite",
            "ServiceUnavailable",
            "InternalError",
            "RequestTimeout",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
            "RequestLimitExceeded",
            "429",
            "500",
            "502",
            "503",
            "504",
        ),
    ),
    (NAMES, ("InvalidBucketName", "KeyTooLongError", "InvalidURI")),
    (
        "no bucket `{bucket}` at {endpoint}: create it or correct registry.bucket in params.yaml",
        ("NoSuchBucket",),
    ),
    (
        "the store does not support conditional writes; use one that does",
        ("NotImplemented", "501"),
    ),
    (
        "the proxy asks for a login: correct HTTP_PROXY and HTTPS_PROXY",
        ("ProxyAuthenticationRequired", "407"),
    ),
    (
        "the object is archived: restore it, and keep lifecycle rules off the registry",
        ("InvalidObjectState",),
    ),
    (
        "the content changed in transit: try again, then look for a proxy in between",
        ("BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"),
    ),
    (
        "the store gives no reason: check for expired credentials and another region",
        ("400",),
    ),
    (NOT_S3, ("MethodNotAllowed", "404", "405")),
)
ADVICE = {code: advice for advice, codes in REFUSALS for code in codes}

# connection errors; the first matching entry applies
FAULTS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound),
        "no AWS credentials ({reason}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "AWS_PROFILE",
    ),
    ((boto.SSOError, boto.LoginError, boto.TokenRetrievalError), f"{SESSION} ({{reason}})"),
    (
        (boto.SSLError,),
        "no TLS connection to {endpoint}: {reason}; check http against https in registry.endpoint, "
        "and that AWS_CA_BUNDLE names the authority of its certificate",
    ),
    (
        (boto.ProxyConnectionError,),
        "the proxy does not answer: {reason}; correct HTTP_PROXY, HTTPS_PROXY or NO_PROXY",
    ),
    (
        (boto.ReadTimeoutError, boto.ResponseStreamingError, boto.IncompleteReadError, HTTPError),
        "the answer was cut off: {reason}; try again",
    ),
    (
        (boto.ConnectionClosedError,),
        "{endpoint} closed the connection without an answer; check http against https, and the "
        "port, in registry.endpoint",
    ),
    (
        (boto.ConnectionError,),
        "{endpoint} does not answer after {attempts} attempts: {reason}; check that it runs, "
        "and that registry.endpoint in params.yaml is its address",
    ),
    ((boto.HTTPClientError, ResponseParserError, boto.PaginationError), f"{NOT_S3} ({{reason}})"),
    ((boto.ParamValidationError, boto.InvalidDNSNameError), f"{{reason}}; {NAMES}"),
    ((Exception,), "{reason}"),
)
TRANSPORT = (boto.BotoCoreError, ResponseParserError, HTTPError, ValueError)

OF_AN_OBJECT = "on {object}, and s3:ListBucket on {bucket} (without it a missing key is refused)"
PERMISSIONS = {
    "PutObject": "s3:PutObject on {object}",
    "GetObject": f"s3:GetObject {OF_AN_OBJECT}",
    "HeadObject": f"s3:GetObject {OF_AN_OBJECT}",
    "ListObjectsV2": "s3:ListBucket on {bucket}",
    "DeleteObject": "s3:DeleteObject on {object}",
}


@dataclass(frozen=True)
class Request:
    """The parts of a bucket request that messages mention."""

    store: str  # its name in messages
    bucket: str
    object: str  # with the bucket and the prefix
    key: str
    endpoint: str
    attempts: int

    def refused(self, error: boto.ClientError) -> StoreError:
        """The error for a refusal, with advice."""
        code, message, headers = _parts(error)
        if code in LOST:
            return SwapLostError(self.store, self.key)
        page = code in PAGE_ANSWERS and is_page(headers, "text/html", "application/json")
        if code in ABSENT and not page and error.operation_name != "ListObjectsV2":
            return MissingKeyError(self.store, self.key)
        advice = ADVICE.get(KMS if KMS_MENTION.search(f"{code} {message}") else code, "")
        filled = (NOT_S3 if page else advice).format(
            bucket=self.bucket,
            endpoint=self.endpoint,
            location=headers.get("location") or "another address",
            permission=self._permission(error.operation_name, message),
        )
        line = f"{error.operation_name} of `{self.key}` was refused ({code}: {message})"
        return StoreError(f"{self.store}: {line}{'; ' if filled else ''}{filled}")

    def failed(self, error: Exception) -> StoreError:
        """The error for a failed connection, with advice."""
        advice = next(advice for kinds, advice in FAULTS if isinstance(error, kinds))
        filled = advice.format(
            reason=_line(str(error)), endpoint=self.endpoint, attempts=self.attempts
        )
        return StoreError(f"{self.store}: {filled}")

    def not_s3(self, oddity: str) -> StoreError:
        """The error for an answer that is not from an S3 store."""
        return StoreError(f"{self.store}: the answer for `{self.key}` {oddity}; {NOT_S3}")

    def _permission(self, operation: str, message: str) -> str:
        named = NAMED_PERMISSION.search(message)
        needed = f"{named[1]} on {{object}}" if named else PERMISSIONS.get(operation, operation)
        return needed.format(object=self.object, bucket=self.bucket)


def is_page(headers: Mapping[str, str], *kinds: str) -> bool:
    """Whether an answer has a body of these types, by default HTML, which S3 never sends."""
    matches = headers.get("content-type", "").startswith(kinds or ("text/html",))
    return matches and headers.get("content-length") != "0"


def _parts(error: boto.ClientError) -> tuple[str, str, Mapping[str, str]]:
    """Code (or HTTP status), message and headers of an error answer."""
    error_fields, metadata = (
        error.response.get("Error", {}),
        error.response.get("ResponseMetadata", {}),
    )
    code = str(error_fields.get("Code") or metadata.get("HTTPStatusCode", ""))
    return code, _line(str(error_fields.get("Message", ""))), metadata.get("HTTPHeaders", {})


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST]
