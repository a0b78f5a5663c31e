"""Check the shipped packages for known vulnerabilities; exit code 1 if there is one.

    python .ci/audit.py REQUIREMENTS

REQUIREMENTS names every installed package with its version, as `pip freeze` does. pip-audit asks
PyPI about each of these releases. If PyPI cannot be reached, or a mirror without data about
vulnerabilities answers in its place, this prints the packages that were not audited, because
pip-audit reports "no known vulnerabilities" for them too.
"""

import json
import subprocess
import sys
from typing import Any

ACCEPTED: dict[str, str] = {}
"""Vulnerability -> why it does no harm here. Empty this whenever a pinned version changes."""


def main() -> int:
    """Audit, and print the result."""
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", sys.argv[1], "--no-deps",
        "--disable-pip", "--format", "json", "--progress-spinner", "off",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except ValueError:  # without a network it prints no JSON
        why = result.stderr.strip().splitlines()[-1:] or ["no reason given"]
        print(f"pip-audit skipped: it got no data ({why[0][:300]})")
        return 0
    lines, vulnerable = judged(packages)
    print("\n".join(lines))
    return int(vulnerable)


def judged(packages: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """Return the lines to print about pip-audit's answer, and whether the gate fails."""
    lines, vulnerable = [], False
    audited = [package for package in packages if "skip_reason" not in package]
    for package in audited:
        for vulnerability in package["vulns"]:
            known = (vulnerability["id"], *vulnerability.get("aliases", ()))
            reason = next((ACCEPTED[name] for name in known if name in ACCEPTED), None)
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            what = f"{package['name']} {package['version']}: {vulnerability['id']}"
            lines.append(f"{what}: accepted: {reason}" if reason else f"{what}: fixed in {fixed}")
            vulnerable |= reason is None
    missed = sorted(package["name"] for package in packages if "skip_reason" in package)
    if missed:
        lines.append(f"pip-audit skipped, PyPI has no such data here: {', '.join(missed)}")
    return [f"pip-audit: {len(audited)} of {len(packages)} packages audited", *lines], vulnerable


if __name__ == "__main__":
    sys.exit(main())
