"""What hatchling does for the packages: the description for a package index, and the bill of materials of the wheel."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import uuid
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

SCRIPTS = ["via_state/static/via_state/via-1.js", "via_state/static/via_state/via-validate-1.js"]


class ReadmeHook(MetadataHookInterface):
    """Sets ``readme``: the README without its pictures, and the text of a link instead of a link into the repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling with the project's metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = re.sub(r"^!\[[^]]*\]\((?!https?:)[^)]*\)\n\n?", "", text, flags=re.MULTILINE)
        text = re.sub(r"(?<!!)\[([^]]*)\]\((?!https?:|#)[^)]*\)", r"\1", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class BillOfMaterialsHook(BuildHookInterface[Any]):
    """Puts a CycloneDX file into ``.dist-info/sboms`` (PEP 770): what is bundled, which is the client scripts, and what is needed.

    It has no time and no random number: the same sources make the same wheel.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name, "via-state.cdx.json")
        path.write_text(json.dumps(self._bill(), indent=2) + "\n", encoding="utf-8")
        build_data["sbom_files"].append(str(path))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the wheel is there."""
        self._folder.cleanup()

    def _bill(self) -> dict[str, Any]:
        core = self.metadata.core
        name, number = core.name, self.metadata.version
        ours = f"pkg:pypi/{name}@{number}"
        licenses = [{"license": {"id": "MIT"}}]
        digests = {one: hashlib.sha256(Path(self.root, one).read_bytes()).hexdigest() for one in SCRIPTS}
        scripts = [
            {
                "type": "file",
                "bom-ref": script,
                "name": script,
                "description": "A client script of live pages, bundled and minified from this project's own sources alone.",
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "licenses": licenses,
            }
            for script, digest in digests.items()
        ]
        needed = {re.split(r"[^\w.-]", one)[0].lower(): one for one in core.dependencies}
        libraries = [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{one}",
                "name": one,
                "purl": f"pkg:pypi/{one}",
                "scope": "required",
                "description": f"Not bundled: {requirement}",
            }
            for one, requirement in sorted(needed.items())
        ]
        references = [*SCRIPTS, *(f"pkg:pypi/{one}" for one in sorted(needed))]
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, '#'.join([ours, *digests.values()]))}",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "library",
                    "bom-ref": ours,
                    "name": name,
                    "version": number,
                    "purl": ours,
                    "licenses": licenses,
                }
            },
            "components": [*scripts, *libraries],
            "dependencies": [{"ref": ours, "dependsOn": references}],
        }
