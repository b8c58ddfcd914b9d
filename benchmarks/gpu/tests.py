"""The tests marked ``gpu``: which pass, and how long they take."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.common import ROOT, Sheet, parser


def main():
    chosen = parser(__doc__).parse_args()
    sheet = Sheet(chosen.out, "tests")
    files = sorted(str(path) for path in (ROOT / "tests" / "unit").glob("test_*.py") if "mark.gpu" in path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        call = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        status = subprocess.run([*call, *files], cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}).returncode
        cases = list(ElementTree.parse(report).iter("testcase"))
    for case in cases:
        ended = "passed"
        for outcome in ("failure", "error", "skipped"):
            if case.find(outcome) is not None:
                ended = outcome
        sheet.add(case.get("name"), ended, "test", float(case.get("time")), "s")
    sys.exit(status)


if __name__ == "__main__":
    main()
