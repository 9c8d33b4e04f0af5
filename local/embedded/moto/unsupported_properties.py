"""Properties that moto's CloudFormation silently ignores: set through the API, or excused here.

No upstream issue found for ``VersioningConfiguration`` (searched getmoto/moto, 2026-11).
"""

from typing import TYPE_CHECKING

from local.sam.expansion import resources_of
from local.sam.intrinsics import Resolver, Template, TemplateError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The properties that moto 5.2.5 uses.
_CREATED = {
    "AWS::S3::Bucket": {"BucketName", "BucketEncryption", "Tags"},
    "AWS::DynamoDB::Table": {
        "TableName",
        "AttributeDefinitions",
        "KeySchema",
        "GlobalSecondaryIndexes",
        "LocalSecondaryIndexes",
        "BillingMode",
        "SSESpecification",
        "StreamSpecification",
        "Tags",
    },
}

# The properties that `put_properties` sets, because they change the behaviour of our functions.
_PUT = {"AWS::S3::Bucket": {"VersioningConfiguration"}}

# The properties that the embedded AWS does not need, and why.
EXCUSED = {
    "AWS::S3::Bucket": {
        "LifecycleConfiguration": "nothing here lives long enough to be deleted",
        "NotificationConfiguration": "nothing subscribes to the event bus here",
        "OwnershipControls": "there is one account",
        "PublicAccessBlockConfiguration": "access is not enforced here",
    },
    "AWS::DynamoDB::Table": {
        "DeletionProtectionEnabled": "the table goes with the process",
        "PointInTimeRecoverySpecification": "it is never restored",
        "TimeToLiveSpecification": "moto deletes no expired rows",
    },
}


def check_properties(body: Template) -> None:
    """Check that no property of a bucket or a table is silently ignored.

    Raises
    ------
    TemplateError
        A property is neither used by moto, nor set here, nor excused.
    """
    for resource_type, created in _CREATED.items():
        known = created | _PUT.get(resource_type, set()) | EXCUSED[resource_type].keys()
        for logical_id, resource in resources_of(body, resource_type):
            if unknown := sorted(resource.get("Properties", {}).keys() - known):
                raise TemplateError(f"{logical_id}: the embedded AWS does not support {', '.join(unknown)}")


def put_properties(body: Template, resolver: Resolver, resources: dict[str, str], s3: "S3Client") -> None:
    """Set the properties that moto's CloudFormation ignores; ``resources`` maps logical to physical ids."""
    for logical_id, resource in resources_of(body, "AWS::S3::Bucket"):
        versioning = resolver.properties(resource).get("VersioningConfiguration")
        if versioning is not None:
            s3.put_bucket_versioning(Bucket=resources[logical_id], VersioningConfiguration=versioning)
