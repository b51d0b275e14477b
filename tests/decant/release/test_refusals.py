"""The table of refusals: every code has one advice, and each can be filled in."""

import pytest
from botocore import exceptions as boto

from decant.release.refusals import ADVICE, FAULTS, KMS, REFUSALS, Request, is_page

REQUEST = Request("s3://b/p", "b", "b/p/key", "key", "http://store", 3)


def test_every_code_stands_once() -> None:
    codes = [code for _, codes in REFUSALS for code in codes]
    assert sorted(codes) == sorted(set(codes))
    assert {KMS, "AccessDenied", "SlowDown", "507"} < set(ADVICE)


@pytest.mark.parametrize("code", ADVICE)
def test_every_advice_can_be_filled_in(code: str) -> None:
    answer = {"Error": {"Code": code, "Message": "two\nlines"}}
    line = str(REQUEST.refused(boto.ClientError(answer, "HeadBucket")))
    assert "{" not in line and "\n" not in line
    if code != "404":  # of a key: nothing is stored there
        assert line.startswith(f"s3://b/p: HeadBucket of `key` was refused ({code}: two lines); ")


@pytest.mark.parametrize("advice", [advice for _, advice in FAULTS])
def test_every_fault_can_be_filled_in(advice: str) -> None:
    assert "{" not in advice.format(reason="why", endpoint="where", attempts=3)


def test_a_missing_permission_is_that_of_the_operation() -> None:
    answer = {"Error": {"Code": "AccessDenied", "Message": "no"}}
    for operation in ("PutObject", "GetObject", "DeleteObject"):
        said = str(REQUEST.refused(boto.ClientError(answer, operation)))
        assert f"need s3:{operation} on b/p/key" in said
    assert "s3:ListBucket on b" in str(REQUEST.refused(boto.ClientError(answer, "ListObjectsV2")))


def test_long_words_of_a_store_are_cut() -> None:
    answer = {"Error": {"Code": "Odd", "Message": "x" * 10_000}}
    assert len(str(REQUEST.refused(boto.ClientError(answer, "PutObject")))) < 500


def test_an_empty_answer_is_no_page() -> None:
    html = {"content-type": "text/html; charset=utf-8"}
    assert is_page({**html, "content-length": "7"}) and is_page(html)
    assert not is_page({**html, "content-length": "0"})
    assert not is_page({"content-type": "application/xml", "content-length": "7"})
