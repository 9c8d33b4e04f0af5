"""Properties that moto's CloudFormation ignores without a word: put through the API, or excused here."""

from typing import TYPE_CHECKING

from local.sam.expansion import resources_of
from local.sam.intrinsics import Resolver, Template, TemplateError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What moto 5.2.5 itself creates from.
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

# What `put_properties` adds, because our functions can tell the difference.
_PUT = {"AWS::S3::Bucket": {"VersioningConfiguration"}}

# What the embedded AWS can do without, and why.
EXCUSED = {
    "AWS::S3::Bucket": {
        "LifecycleConfiguration": "nothing here lives long enough to be deleted",
        "NotificationConfiguration": "nobody listens on the event bus here",
        "OwnershipControls": "there is one account",
        "PublicAccessBlockConfiguration": "access is not enforced here",
    },
    "AWS::DynamoDB::Table": {
        "DeletionProtectionEnabled": "the table goes with the process",
        "PointInTimeRecoverySpecification": "nobody restores it",
        "TimeToLiveSpecification": "moto deletes no expired rows",
    },
}


def check_properties(body: Template) -> None:
    """Make sure that nothing of a bucket or a table is dropped silently.

    Raises
    ------
    TemplateError
        A property that is neither created, nor put, nor excused.
    """
    for resource_type, created in _CREATED.items():
        known = created | _PUT.get(resource_type, set()) | EXCUSED[resource_type].keys()
        for logical_id, resource in resources_of(body, resource_type):
            if unknown := sorted(resource.get("Properties", {}).keys() - known):
                raise TemplateError(
                    f"{logical_id}: the embedded AWS does not know what to do with {', '.join(unknown)}"
                )


def put_properties(body: Template, resolver: Resolver, resources: dict[str, str], s3: "S3Client") -> None:
    """Put what CloudFormation has left out; ``resources`` maps logical to physical ids."""
    for logical_id, resource in resources_of(body, "AWS::S3::Bucket"):
        versioning = resolver.properties(resource).get("VersioningConfiguration")
        if versioning is not None:
            s3.put_bucket_versioning(Bucket=resources[logical_id], VersioningConfiguration=versioning)
