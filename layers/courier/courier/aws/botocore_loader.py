"""A loader that reads botocore's descriptions of the AWS services faster, for short cold starts.

Delete this module when short cold starts are no goal any more: it saves 25 ms of 290 (docs/decisions.md, 17), and
overrides internals of a botocore that Lambda updates.
"""

import gzip
import json
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from botocore.loaders import JSONFileLoader, Loader, create_loader


class DirectLoader(Loader):
    """botocore's own loader without its search.

    botocore's loader opens the folders of all 400 services, once for their models and once for their endpoints, before
    it reads the one that it needs.

    Parameters
    ----------
    data_path
        botocore's setting of that name (``AWS_DATA_PATH``): additional folders with descriptions.
    """

    def __init__(self, data_path: str | None = None) -> None:
        folders = create_loader(data_path).search_paths
        super().__init__(folders, PlainJsonLoader(), include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - checked when it is loaded
        """Return all services; whether one has a description of this type is known when it is loaded."""
        return self._folders

    @cached_property
    def _folders(self) -> list[str]:
        names: set[str] = set()
        for path in self.search_paths:
            # Not pathlib, which creates an object for each of the 400. ~/.aws/models may be anything, or unreadable.
            with suppress(OSError), os.scandir(path) as folders:
                names.update(folder.name for folder in folders)
        return sorted(names)


class PlainJsonLoader(JSONFileLoader):
    """Reads into plain dicts, which keep their order too.

    botocore reads into OrderedDict, which takes three times as long; the list of all endpoints alone has 1.2 MB.
    """

    def load_file(self, file_path: str) -> object:
        """Return the content of a file that is named without its suffix; None where there is none."""
        with suppress(OSError):
            return json.loads(Path(f"{file_path}.json").read_bytes())
        with suppress(OSError):
            return json.loads(gzip.decompress(Path(f"{file_path}.json.gz").read_bytes()))
        # botocore itself reports a defective file, and a later version may compress its files differently.
        return super().load_file(file_path)
