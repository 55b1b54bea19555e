"""Runs schemathesis over an OpenAPI document: DOCUMENT URL TOKEN SECONDS LEAST. Says how it ended.

On a busy machine so many seconds may be too few for LEAST answers: then it begins again and has three times as many.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

MAX_SECONDS = 300
CHECKS = ("not_a_server_error", "content_type_conformance", "response_schema_conformance")


def main(document: str, url: str, token: str, seconds: str, least: str) -> dict[str, object]:
    """Run it until there are enough answers, it found something, or it is at its end; return how it ended."""
    time_s = int(seconds)
    while True:
        began_s = time.monotonic()
        said = run(document, url, token, time_s)
        was_cut = time.monotonic() - began_s >= time_s
        if said["status"] or sum(said["answers"].values()) >= int(least) or not was_cut or time_s * 3 > MAX_SECONDS:
            return said
        time_s *= 3


def run(document: str, url: str, token: str, time_s: int) -> dict[str, Any]:
    """Run it; return its exit status, the end of what it printed, and the answers that it got by status."""
    report = Path(document).with_name("answers.har")
    command = [
        str(Path(sys.executable).with_name("st")), "--config-file", str(Path(document).with_name("schemathesis.toml")),
        "run", document, "--url", url, "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS),
        "--phases", "examples,coverage,fuzzing", "--max-time", str(time_s), "--seed", "1",
        "--warnings", "off", "--suppress-health-check", "all", "--no-color",
        "--report", "har", "--report-har-path", str(report),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(document).parent)
    answers = json.loads(report.read_text())["log"]["entries"]
    return {
        "status": done.returncode,
        "output": f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}",
        "answers": Counter(entry["response"]["status"] for entry in answers),
        "predictions": sum(
            entry["response"]["status"] == 200 and entry["request"]["method"] == "POST" for entry in answers
        ),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
