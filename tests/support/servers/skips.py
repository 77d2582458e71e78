"""Decides which tests the continuous integration (CI=true) may skip: those for want of something
that it never has. Any other skipped test fails there.
"""

import os
from collections.abc import Generator

import pytest

MAY_BE_SKIPPED = (
    "Docker's compose plugin is not installed",
    "root may write everywhere",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where CI=true."""
    report = yield
    if (
        os.environ.get("CI") == "true"
        and report.skipped
        and not hasattr(report, "wasxfail")
        and isinstance(report.longrepr, tuple)
    ):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in MAY_BE_SKIPPED:
            report.outcome = "failed"
            report.longrepr = f"skipped where CI=true: {reason}"
    return report
