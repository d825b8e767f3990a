"""Writes the generated CRDs: `python tests/crds.py`; `test_architecture.py` checks that they are fresh."""

from pathlib import Path

import yaml

from bitshift_core.api.crd import RESOURCES, crd

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Generated from operator/bitshift_core/api by `make crds`; never edited by hand.\n"
CHART_START = "{{- if .Values.crds.enabled }}\n"
CHART_END = "{{- end }}\n"


def files() -> dict[Path, str]:
    """Return the text of every generated file: one CRD per kind, in `crds/` and as a template of the chart."""
    found = {}
    for resource in RESOURCES:
        manifest = crd(resource)
        name = f"{resource.plural}.bitshift.dev.yaml"
        found[ROOT / "crds" / name] = HEADER + _yaml(manifest)
        manifest["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
        text = HEADER + CHART_START + _yaml(manifest) + CHART_END
        found[ROOT / "charts" / "bitshift" / "templates" / "crds" / name] = text
    return found


def _yaml(manifest: dict[str, object]) -> str:
    return str(yaml.safe_dump(manifest, sort_keys=False, width=120, allow_unicode=True))


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
