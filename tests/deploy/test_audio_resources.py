"""deploy/resources/audio.yml makes a private bucket for audio, if the deployment uses one."""

from typing import Any

import pytest

from deploy.template import holds
from shared.audio.files import Area
from tests.deploy.test_serverless import CONFIGURATION, resources


def bucket() -> dict[str, Any]:
    properties: dict[str, Any] = resources("audio.yml")["Resources"]["AudioBucket"]["Properties"]
    return properties


@pytest.mark.parametrize(
    ("audio", "named", "made"), [("s3", "", True), ("s3", "mine", False), ("", "", False), ("folder", "", False)]
)
def test_audio_bucket_is_made_only_for_s3(audio: str, named: str, *, made: bool) -> None:
    """Without AUDIO=s3, or with an existing bucket, the stack has neither bucket nor policy."""
    custom = CONFIGURATION["custom"]
    assert (custom["audio"], custom["audioBucket"]) == ("${env:AUDIO, ''}", "${env:AUDIO_BUCKET, ''}")
    template = resources("audio.yml", audio=audio, audioBucket=named)
    for resource in template["Resources"].values():
        assert holds(template["Conditions"], {"Condition": resource["Condition"]}) is made


def test_audio_bucket_is_private_and_encrypted() -> None:
    """No list or policy can make it public, its objects are the account's, and they are encrypted at rest."""
    made = bucket()
    assert set(made["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(made["PublicAccessBlockConfiguration"]) == 4
    assert made["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encrypted,) = made["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encrypted == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def test_audio_bucket_refuses_requests_without_tls() -> None:
    policy = resources("audio.yml")["Resources"]["AudioBucketPolicy"]["Properties"]["PolicyDocument"]
    refused = {statement["Sid"]: statement for statement in policy["Statement"]}
    assert refused["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": False}}
    assert refused["NoOldTls"]["Condition"] == {"NumericLessThan": {"s3:TlsVersion": 1.2}}
    for statement in policy["Statement"]:
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
        assert len(statement["Resource"]) == 2


def test_audio_bucket_forgets_pieces_and_never_audio() -> None:
    """Parts and marks of long texts that stopped go after a week; audio, and marks of closed owners, never by age."""
    rules = {rule["Id"]: rule for rule in bucket()["LifecycleConfiguration"]["Rules"]}
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules.values() if "ExpirationInDays" in rule}
    assert expiring == {f"{Area.PIECES}/": 7, f"{Area.LEASES}/": 7, f"{Area.MAKING}/": 7}
    assert "VersioningConfiguration" not in bucket()


def test_audio_of_production_outlives_the_stack() -> None:
    params = CONFIGURATION["params"]
    assert [params[stage]["audioDeletionPolicy"] for stage in ("default", "production")] == ["Delete", "Retain"]
