"""The software bill of materials that a wheel carries (PEP 770): CycloneDX, one component for each library inside."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from .sources import Source

NAME = "cwsandbox.cdx.json"


def component(source: Source) -> dict[str, Any]:
    url = quote(source.urls[0], safe="")
    purl = f"pkg:generic/{source.name}@{source.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": source.name,
        "version": source.version,
        "scope": "required",
        "licenses": [{"expression": source.licence}],
        "purl": f"{purl}?checksum=sha256:{source.sha256}&download_url={url}",
        "externalReferences": [
            {
                "type": "source-distribution",
                "url": source.urls[0],
                "hashes": [{"alg": "SHA-256", "content": source.sha256}],
            }
        ],
    }


def render(version: str, platform: str, sources: list[Source]) -> str:
    """The same for the same sources, so that two builds can be compared."""
    # A "+" has a meaning of its own in a package URL.
    reference = f"pkg:pypi/cwsandbox@{quote(version, safe='')}"
    components = [component(source) for source in sources]
    contents = json.dumps([platform, reference, components])
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, contents).urn,
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": reference,
                "name": "cwsandbox",
                "version": version,
                "licenses": [{"expression": "MIT"}],
                "purl": reference,
                "properties": [{"name": "cwsandbox:platform", "value": platform}],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": reference, "dependsOn": [part["bom-ref"] for part in components]},
            *({"ref": part["bom-ref"], "dependsOn": []} for part in components),
        ],
    }
    return json.dumps(bom, indent=2) + "\n"
