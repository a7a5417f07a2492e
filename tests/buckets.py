"""A server on this machine that speaks as S3 does, and buckets in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from tests.features.sources.contract import SECRET

#: how programs find their keys
KEYS = {
    "AWS_ACCESS_KEY_ID": "a-key-of-ours",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def bucket_server() -> Iterator[str]:
    """The host and port of such a server."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()


class Buckets:
    """The buckets of such a server.

    Args:
        server: its host and port.
        patch: sets the environment by which programs find their keys.
    """

    def __init__(self, server: str, patch: pytest.MonkeyPatch) -> None:
        import boto3

        keys = {
            "AWS_ACCESS_KEY_ID": "a-key-of-ours",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        for name, value in keys.items():
            patch.setenv(name, value)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        self.server = server
        self.s3: Any = boto3.client("s3", endpoint_url=f"http://{server}")

    def make(self) -> str:
        """Make a bucket; returns its name."""
        name = f"events-{len(self.s3.list_buckets()['Buckets'])}"
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        return name

    def address(self, folder: str) -> str:
        """The address of a folder, ``bucket/folder``."""
        return f"s3://{folder}?endpoint_override={self.server}&scheme=http&region=eu-west-1"

    def keys(self, bucket: str) -> list[str]:
        """The files in a bucket; Arrow makes empty objects for folders, too."""
        found = (one["Key"] for one in self.s3.list_objects_v2(Bucket=bucket).get("Contents", []))
        return sorted(key for key in found if not key.endswith("/"))
