"""botocore's descriptions of the AWS services, found and read in less time than botocore takes at a cold start."""

import gzip
import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from botocore.loaders import JSONFileLoader, Loader


class KnownServices(Loader):
    """botocore's own loader, told which services there are.

    Left alone it finds that out from the folders of all 400 services, once for their models and once for their
    endpoints, although it was asked for one by name.
    """

    def __init__(self, services: Collection[str]) -> None:
        super().__init__(file_loader=PlainFiles())
        self._services = sorted(services)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - each of them has every type
        """Give the services that were named."""
        return self._services


class PlainFiles(JSONFileLoader):
    """Reads into plain dicts, which keep their order too.

    botocore asks for OrderedDict, which triples the time of reading; the list of all endpoints alone has 1.2 MB.
    """

    def load_file(self, file_path: str) -> object:
        """Give the content of a file whose ending is left open; None where there is none."""
        with suppress(FileNotFoundError):
            return json.loads(Path(f"{file_path}.json").read_bytes())
        with suppress(FileNotFoundError):
            return json.loads(gzip.decompress(Path(f"{file_path}.json.gz").read_bytes()))
        # A later botocore that packs its files otherwise knows how.
        return super().load_file(file_path)
