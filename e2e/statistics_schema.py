"""Grafana's own schema, made of the types that it publishes, and dashboards held against it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from e2e.provision import need_npm, need_program

RELEASE = "11.6.0"
"""The Grafana whose types these are."""

_PACKAGES = f"@grafana/schema@{RELEASE}", "ts-json-schema-generator@2.4.0", "ajv@8.17.1"

_PANELS = {"stat": "Stat", "table": "Table", "timeseries": "TimeSeries"}

_VALIDATE = """
const Ajv = require('ajv');
const ajv = new Ajv({allErrors: true, strict: false});
const told = JSON.parse(require('fs').readFileSync(0)).flatMap(([title, schema, value]) =>
    ajv.validate(schema, value) ? [] : ajv.errors.map(error =>
        `${title}: ${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`));
console.log(JSON.stringify(told));
"""


def problems(dashboard: dict[str, Any]) -> list[str]:
    """Return what Grafana's types say against a dashboard; nothing if all is well.

    Raises:
        SkipTest: if npm or its packages are not to be had.
    """
    checks = [("dashboard", _type("dashboard/x/dashboard", "Dashboard"), dashboard)]
    for panel in dashboard["panels"]:
        kind = panel["type"]
        module = f"composable/{kind}/panelcfg/x/{_PANELS[kind]}PanelCfg"
        checks.append((panel["title"], _type(module, "Options"), panel["options"]))
        custom = panel["fieldConfig"]["defaults"].get("custom")
        if custom is not None:
            checks.append((panel["title"], _type(module, "FieldConfig"), custom))
    found: list[str] = json.loads(_node(["-e", _VALIDATE], json.dumps(checks)))
    return found


def _type(module: str, name: str) -> dict[str, Any]:
    return {"definitions": _definitions(module), "$ref": f"#/definitions/{name}"}


@cache
def _definitions(module: str) -> dict[str, Any]:
    """Translate a module's TypeScript types; a key that they don't know is an error."""
    types = _modules() / "@grafana" / "schema" / "dist" / "esm" / "raw" / f"{module}_types.gen.d.ts"
    script = _modules() / "ts-json-schema-generator" / "bin" / "ts-json-schema-generator.js"
    schema = _node([str(script), "--path", str(types), "--type", "*", "--no-type-check"])
    definitions: dict[str, Any] = json.loads(schema)["definitions"]
    return definitions


def _node(arguments: Sequence[str], given: str = "") -> str:
    node = need_program("node", "nodejs")
    done = subprocess.run(
        [node, *arguments],
        cwd=_modules().parent,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise AssertionError(done.stderr[-2000:])
    return done.stdout


def _modules() -> Path:
    return need_npm(*_PACKAGES)
