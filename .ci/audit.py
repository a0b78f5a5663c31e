"""Hold what ships against the known vulnerabilities; exit code 1 where there is one.

    python .ci/audit.py REQUIREMENTS

REQUIREMENTS names every installed package with its version, as `pip freeze` does. pip-audit asks
PyPI about each of these releases. Where PyPI cannot be reached, or a mirror stands in for it that
does not know about vulnerabilities, it is said by name what was not audited: pip-audit calls that
"no known vulnerabilities" too.
"""

import json
import subprocess
import sys
from typing import Any

ACCEPTED: dict[str, str] = {}
"""Vulnerability -> why it does no harm here. Empty it whenever a pin goes up."""


def main() -> int:
    """Audit, and print what was found."""
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", sys.argv[1], "--no-deps",
        "--disable-pip", "--format", "json", "--progress-spinner", "off",
    ]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(told.stdout)["dependencies"]
    except ValueError:  # it ends so where the network does
        why = told.stderr.strip().splitlines()[-1:] or ["no reason given"]
        print(f"pip-audit skipped: it got no data ({why[0][:300]})")
        return 0
    lines, found = judged(packages)
    print("\n".join(lines))
    return int(found)


def judged(packages: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """Return what to say of pip-audit's answer, and whether a vulnerability fails the gate."""
    lines, found = [], False
    audited = [one for one in packages if "skip_reason" not in one]
    for one in audited:
        for vulnerability in one["vulns"]:
            known = (vulnerability["id"], *vulnerability.get("aliases", ()))
            reason = next((ACCEPTED[name] for name in known if name in ACCEPTED), None)
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            what = f"{one['name']} {one['version']}: {vulnerability['id']}"
            lines.append(f"{what}: accepted: {reason}" if reason else f"{what}: mended in {fixed}")
            found |= reason is None
    missed = sorted(one["name"] for one in packages if "skip_reason" in one)
    if missed:
        lines.append(f"pip-audit skipped, PyPI has no such data here: {', '.join(missed)}")
    return [f"pip-audit: {len(audited)} of {len(packages)} packages audited", *lines], found


if __name__ == "__main__":
    sys.exit(main())
