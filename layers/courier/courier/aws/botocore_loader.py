"""botocore's descriptions of the AWS services, found and read in less time than botocore takes at a cold start."""

import gzip
import json
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from botocore.loaders import JSONFileLoader, Loader, create_loader


class DirectLoader(Loader):
    """botocore's own loader, without its search.

    Left alone it opens the folders of all 400 services, once for their models and once for their endpoints, before
    it looks into the one that it was asked for.

    Parameters
    ----------
    data_path
        botocore's setting of that name (``AWS_DATA_PATH``): further folders with descriptions.
    """

    def __init__(self, data_path: str | None = None) -> None:
        folders = create_loader(data_path).search_paths
        super().__init__(folders, PlainFiles(), include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - said when it is looked for
        """Give all services; whether one has a description of this type turns out when that is loaded."""
        return self._folders

    @cached_property
    def _folders(self) -> list[str]:
        names: set[str] = set()
        for path in self.search_paths:
            # Not pathlib, which makes an object of each of the 400. ~/.aws/models may be anything, or out of reach.
            with suppress(OSError), os.scandir(path) as folders:
                names.update(folder.name for folder in folders)
        return sorted(names)


class PlainFiles(JSONFileLoader):
    """Reads into plain dicts, which keep their order too.

    botocore asks for OrderedDict, which triples the time of reading; the list of all endpoints alone has 1.2 MB.
    """

    def load_file(self, file_path: str) -> object:
        """Give the content of a file whose ending is left open; None where there is none."""
        with suppress(OSError):
            return json.loads(Path(f"{file_path}.json").read_bytes())
        with suppress(OSError):
            return json.loads(gzip.decompress(Path(f"{file_path}.json.gz").read_bytes()))
        # A later botocore that packs its files otherwise knows how, and this one says what is wrong with a file.
        return super().load_file(file_path)
