"""Whether the parts of an artifact are still the bytes that its manifest names, and word of what was rebuilt."""

import logging
from hashlib import sha256

from data_contracts.store.backends import Backend
from data_contracts.store.keys import file_digest
from data_contracts.store.manifest import MANIFEST_FILE, Manifest, Part

log = logging.getLogger("almost.store")


class PartChecks:
    """Checks parts by their digest; a local file that has not changed since is not read twice."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._verified: dict[str, tuple[int, int]] = {}

    def is_intact(self, folder: str, part: Part) -> bool:
        """Whether the part of an artifact's folder is there, with the bytes that `part` names."""
        name = f"{folder}/{part.name}"
        path = self._backend.local_path(name)
        if path is None:
            content = self._backend.read_bytes(name)
            return content is not None and sha256(content).hexdigest() == part.sha256
        if not path.is_file() or path.stat().st_size != part.bytes:
            return False
        stamp = (path.stat().st_mtime_ns, path.stat().st_ino)
        if self._verified.get(name) != stamp:
            if file_digest(path) != part.sha256:
                return False
            self._verified[name] = stamp
        return True


def warn_when_rebuilt_differently(backend: Backend, folder: str, manifest: Manifest) -> None:
    """Say whether a rebuilt artifact has the bytes that the damaged one had: later steps were built on those."""
    content = backend.read_bytes(f"{folder}/damaged-{MANIFEST_FILE}")
    if content is None:
        return
    try:
        same = Manifest.model_validate_json(content).digest == manifest.digest
    except ValueError:
        same = False
    if same:
        log.warning("%s was damaged and has been rebuilt with the same bytes", folder)
    else:
        log.warning("%s was damaged; its rebuilt bytes differ from what later steps were built on", folder)
    backend.delete(f"{folder}/damaged-{MANIFEST_FILE}")
