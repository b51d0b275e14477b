"""Registry storage in a bucket of S3 or a compatible store, by conditional PUT."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from decant.files import CHUNK, LARGEST_RECORD, first_bytes
from decant.release.refusals import TRANSPORT, Request, is_page
from decant.release.store import (
    KeyExistsError,
    MissingKeyError,
    StoreError,
    SwapLostError,
    inner_path,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ATTEMPTS = 3
PAGE = 1000  # keys per answer
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30  # seconds, each attempt
REDIRECTS = (301, 302, 303, 307, 308)
REASONLESS = ("400", "403")  # refusals of a HEAD, whose answer has no body
NO_VERSION = f'"{"0" * 32}"'

logger = logging.getLogger(__name__)


class S3Store:
    """A bucket, below a prefix. Credentials come from the usual AWS chain."""

    def __init__(self, bucket: str, prefix: str = "", endpoint: str | None = None) -> None:
        self.bucket, self.prefix, self.endpoint = bucket, prefix.strip("/"), endpoint
        self._probed = False
        with self._explained():
            self._client: S3Client = boto3.Session().client(
                "s3", endpoint_url=endpoint, config=_config(endpoint)
            )
        self._client.meta.events.register_first("needs-retry.s3", _refuse_redirect)

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def probe(self) -> None:
        """Check once the guarantees that promotions rely on, as some stores accept any write.

        Three conditional writes must be refused, two accepted, and their content must be readable
        and listed immediately.

        Raises:
            StoreError: a guarantee does not hold, or the store is unreachable.
        """
        if self._probed:
            return
        key, absent = f"probe/{uuid.uuid4().hex}", f"probe/{uuid.uuid4().hex}"
        with contextlib.ExitStack() as stack:
            version = self._must_accept(key, None, b"1")
            stack.callback(self._forget, key)
            self._must_refuse(key, "overwrites an existing key", IfNoneMatch="*")
            self._must_refuse(key, "overwrites another version", IfMatch=NO_VERSION)
            self._must_refuse(absent, "writes a key that does not exist", IfMatch=NO_VERSION)
            version = self._must_accept(key, version, b"2")
            if self.read_versioned(key) != (b"2", version) or key not in self.list(key):
                raise StoreError(
                    f"{self.name}: a written key is not readable or listed immediately, so a "
                    "promotion could be missed; use a store without a cache in between"
                )
        self._probed = True

    def exists(self, key: str) -> bool:
        try:
            with self._explained(key):
                self._check(key, self._head(key))
        except MissingKeyError:
            return False
        return True

    def _head(self, key: str) -> Any:
        try:
            return self._client.head_object(**self._at(key))
        except boto.ClientError as error:
            if error.response["Error"]["Code"] not in REASONLESS:
                raise
            answer = self._client.get_object(**self._at(key))  # a refused GET has a reason
            answer["Body"].close()
            return answer

    def list(self, prefix: str) -> list[str]:
        skip = len(self.prefix) + 1 if self.prefix else 0
        start = f"{self.prefix}/{prefix}" if self.prefix else prefix
        keys: list[str] = []
        with self._explained(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, PaginationConfig={"PageSize": PAGE}
            )
            for page in pages:
                if "IsTruncated" not in page and "Name" not in page:
                    raise self._request(prefix).not_s3("lists nothing")
                keys += [entry["Key"][skip:] for entry in page.get("Contents", [])]
        return sorted(keys)

    def stream(self, key: str) -> Iterator[bytes]:
        with self._explained(key):
            answer = self._client.get_object(**self._at(key))
            with contextlib.closing(answer["Body"]) as body:
                self._check(key, answer)
                yield from body.iter_chunks(CHUNK)

    def read(self, key: str) -> bytes:
        return first_bytes(self.stream(key), LARGEST_RECORD)

    def read_versioned(self, key: str) -> tuple[bytes, str] | None:
        try:
            with self._explained(key):
                answer = self._client.get_object(**self._at(key))
                with contextlib.closing(answer["Body"]) as body:
                    version = self._check(key, answer)
                    return first_bytes(body.iter_chunks(CHUNK), LARGEST_RECORD), version
        except MissingKeyError:
            return None

    def write_new(self, key: str, content: bytes | Path) -> None:
        try:
            self._put(key, content, IfNoneMatch="*")
        except SwapLostError:
            raise KeyExistsError(self.name, key) from None

    def swap(self, key: str, expected: str | None, content: bytes) -> str:
        condition = {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}
        try:
            return self._put(key, content, **condition)
        except (SwapLostError, MissingKeyError):
            # after a lost answer, a retried PUT meets its own bytes
            stored = self.read_versioned(key)
            if stored and stored[0] == content:
                return stored[1]
            raise SwapLostError(self.name, key) from None

    def _put(self, key: str, content: bytes | Path, **condition: str) -> str:
        with contextlib.ExitStack() as stack:
            body = (
                content if isinstance(content, bytes) else stack.enter_context(content.open("rb"))
            )
            stack.enter_context(self._explained(key))
            arguments: Any = {**self._at(key), "Body": body, **condition}
            return self._check(key, self._client.put_object(**arguments))

    def _check(self, key: str, answer: Any) -> str:
        """The version (ETag) in an answer.

        Raises:
            StoreError: the answer is not from an S3 store.
        """
        if is_page(answer["ResponseMetadata"]["HTTPHeaders"]):
            raise self._request(key).not_s3("is a web page")
        if not answer.get("ETag"):
            raise self._request(key).not_s3("has no ETag")
        return str(answer["ETag"])

    def _must_accept(self, key: str, version: str | None, content: bytes) -> str:
        try:
            return self.swap(key, version, content)
        except SwapLostError:
            raise StoreError(
                f"{self.name}: the store refuses a valid conditional write, so nothing could be "
                "promoted; use another store, or a proxy that keeps its ETags"
            ) from None

    def _must_refuse(self, key: str, deed: str, **condition: str) -> None:
        try:
            self._put(key, b"overwritten", **condition)
        except (SwapLostError, MissingKeyError):
            return
        self._forget(key)
        raise StoreError(
            f"{self.name}: the store ignores conditional writes ({next(iter(condition))} {deed}), "
            "so two promotions could both win; use a store that answers 412"
        )

    def _forget(self, key: str) -> None:
        try:
            with self._explained(key):
                self._client.delete_object(**self._at(key))
        except StoreError as error:
            logger.warning("a probe object could not be removed from %s: %s", key, error)

    def _at(self, key: str) -> Any:
        path = inner_path(key).as_posix()
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{path}" if self.prefix else path}

    def _request(self, key: str) -> Request:
        place = "/".join(part for part in (self.bucket, self.prefix, key) if part)
        where = self.endpoint or "AWS"
        return Request(self.name, self.bucket, place, key, where, ATTEMPTS)

    @contextlib.contextmanager
    def _explained(self, key: str = "") -> Iterator[None]:
        """Turn boto's errors into StoreErrors of one line."""
        try:
            yield
        except StoreError:
            raise
        except boto.ClientError as error:
            raise self._request(key).refused(error) from error
        except TRANSPORT as error:
            raise self._request(key).failed(error) from error


def _refuse_redirect(response: Any, operation: Any, **_: Any) -> None:
    """Fail at a redirect without a region, which botocore would retry forever."""
    if response is None:
        return
    answer, parsed = response
    if answer.status_code in REDIRECTS and "x-amz-bucket-region" not in answer.headers:
        raise boto.ClientError(parsed, operation.name)


def _config(endpoint: str | None) -> Config:
    return Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        request_checksum_calculation="when_required",  # other stores do not support the newer ones
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
