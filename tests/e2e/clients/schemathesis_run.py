"""Runs schemathesis over an OpenAPI document: DOCUMENT URL TOKEN SECONDS. Says how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

CHECKS = ("not_a_server_error", "content_type_conformance", "response_schema_conformance")


def main(document: str, url: str, token: str, seconds: str) -> dict[str, object]:
    """Run it; return its exit status and the end of what it printed."""
    report = Path(document).with_name("answers.har")
    command = [
        str(Path(sys.executable).with_name("st")), "--config-file", str(Path(document).with_name("schemathesis.toml")),
        "run", document, "--url", url, "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS),
        "--phases", "examples,coverage,fuzzing", "--max-time", seconds, "--seed", "1",
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
