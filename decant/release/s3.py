"""A registry's bytes in a bucket: S3, or a store that speaks it, by conditional PUT."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from decant.release.content import CHUNK
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
PAGE = 1000  # keys of one answer
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30  # seconds, each attempt
LOST = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
ABSENT = ("NoSuchKey", "404")
DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403")
UNREACHABLE = (boto.ConnectionError, boto.HTTPClientError)

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

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def probe(self) -> None:
        """Check once that the store honours conditions: some accept them and overwrite anyway.

        Raises:
            StoreError: a second conditional PUT was not refused with 412, or no access.
        """
        if self._probed:
            return
        key = f"probe/{uuid.uuid4().hex}"
        version = self.swap(key, None, b"1")
        try:
            self._must_refuse(key, IfNoneMatch="*")
            self._must_refuse(key, IfMatch=f'"{"0" * 32}"')
            self.swap(key, version, b"2")
        finally:
            self._forget(key)
        self._probed = True

    def exists(self, key: str) -> bool:
        try:
            with self._explained(key):
                self._client.head_object(**self._at(key))
        except MissingKeyError:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        skip = len(self.prefix) + 1 if self.prefix else 0
        start = f"{self.prefix}/{prefix}" if self.prefix else prefix
        with self._explained(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, PaginationConfig={"PageSize": PAGE}
            )
            return sorted(
                found["Key"][skip:] for page in pages for found in page.get("Contents", [])
            )

    def stream(self, key: str) -> Iterator[bytes]:
        with self._explained(key):
            body = self._client.get_object(**self._at(key))["Body"]
            with contextlib.closing(body):
                yield from body.iter_chunks(CHUNK)

    def read(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    def read_versioned(self, key: str) -> tuple[bytes, str] | None:
        try:
            with self._explained(key):
                answer = self._client.get_object(**self._at(key))
                with contextlib.closing(answer["Body"]) as body:
                    return body.read(), answer["ETag"]
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
            # a retried PUT whose first answer was lost finds its own bytes
            found = self.read_versioned(key)
            if found and found[0] == content:
                return found[1]
            raise SwapLostError(self.name, key) from None

    def _put(self, key: str, content: bytes | Path, **condition: str) -> str:
        with contextlib.ExitStack() as stack:
            body = (
                content if isinstance(content, bytes) else stack.enter_context(content.open("rb"))
            )
            stack.enter_context(self._explained(key))
            arguments: Any = {**self._at(key), "Body": body, **condition}
            return self._client.put_object(**arguments)["ETag"]

    def _must_refuse(self, key: str, **condition: str) -> None:
        try:
            self._put(key, b"overwritten", **condition)
        except SwapLostError:
            return
        raise StoreError(
            f"{self.name}: the store ignores conditional writes ({next(iter(condition))}), so two "
            "promotions could both win; use a store that answers 412"
        )

    def _forget(self, key: str) -> None:
        try:
            with self._explained(key):
                self._client.delete_object(**self._at(key))
        except StoreError as error:
            logger.warning("a probe was left behind at %s: %s", key, error)

    def _at(self, key: str) -> Any:
        path = inner_path(key).as_posix()
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{path}" if self.prefix else path}

    @contextlib.contextmanager
    def _explained(self, key: str = "") -> Iterator[None]:
        """Turn boto's errors into one line each."""
        where = self.endpoint or "AWS"
        try:
            yield
        except boto.ClientError as error:
            raise self._refusal(error, key) from error
        except (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.ProfileNotFound,
        ) as error:
            raise StoreError(
                f"{self.name}: no AWS credentials ({_line(error)}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from error
        except UNREACHABLE as error:
            raise StoreError(
                f"{self.name}: {where} does not answer after {ATTEMPTS} attempts: {_line(error)}"
            ) from error
        except (boto.BotoCoreError, ValueError) as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{self.name}: {_line(error)}") from error

    def _refusal(self, error: boto.ClientError, key: str) -> StoreError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        if code == "NoSuchBucket":
            return StoreError(
                f"{self.name}: no bucket `{self.bucket}` at {self.endpoint or 'AWS'}: create it "
                "or correct registry.bucket in params.yaml"
            )
        if code in LOST:
            return SwapLostError(self.name, key)
        if code == "NotImplemented" or status == "501":
            return StoreError(
                f"{self.name}: the store does not know conditional writes; use one that does"
            )
        if code in ABSENT:
            return MissingKeyError(self.name, key)
        if code in DENIED or status in DENIED:
            return StoreError(f"{self.name}: access denied ({_line(error)}); check the credentials")
        return StoreError(f"{self.name}: {_line(error)}")


def _config(endpoint: str | None) -> Config:
    return Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        request_checksum_calculation="when_required",  # other stores do not know the newer ones
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
