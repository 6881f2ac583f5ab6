"""Holds a running demo against its document: every field at its edges, then schemathesis under several
seeds. Adds up what was reached.

    fuzz.py URL DIRECTORY

It fails when a check fails, and when nothing got past the signature: a run that only ever hears
SIGN_MISMATCH has tested nothing.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import urllib.request

import edges

HERE = pathlib.Path(__file__).parent
SEEDS = [1, 2, 3]
EXAMPLES_PER_OPERATION = 25
RUN_SECONDS_MAX = 600
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "document_and_server_agree",
]


def run(url, document, directory, seed):
    """One run; returns whether all checks held, and what was counted."""
    counts = directory / f"counts-{seed}.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", url),
        *("--seed", str(seed), "--max-examples", str(EXAMPLES_PER_OPERATION)),
        *("--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS)),
        *("--include-operation-id-regex", "_(test|root)$", "--continue-on-failure"),
        *("--request-timeout", "10", "--generation-database", "none", "--no-color"),
        *("--suppress-health-check", "all", "--warnings", "off"),
    ]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FUZZ_SEED": str(seed),
        "FUZZ_COUNTS": str(counts),
        "FUZZ_DOCUMENT": str(document),
    }
    print(f"-- seed {seed}", flush=True)
    done = subprocess.run(command, cwd=directory, env=environment, timeout=RUN_SECONDS_MAX)
    counted = json.loads(counts.read_text()) if counts.exists() else {}
    return done.returncode == 0, counted


def main():
    url, directory = sys.argv[1].rstrip("/"), pathlib.Path(sys.argv[2])
    document = directory / "openapi.json"
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=10) as answer:
        whole = json.load(answer)
    # The admin API is held against the document by the tests: it has an address and tokens of its own.
    paths = whole["paths"].items()
    whole["paths"] = {path: methods for path, methods in paths if not path.startswith("/admin/")}
    document.write_text(json.dumps(whole), encoding="utf-8")
    print("-- every field at its edges", flush=True)
    good = edges.run(url, document)
    total = collections.defaultdict(collections.Counter)
    for seed in SEEDS:
        held, counted = run(url, document, directory, seed)
        good = good and held
        for operation, count in counted.items():
            total[operation].update(count)
    return report(total) and good


def report(total):
    """Says what was reached; returns whether that is enough."""
    judged = total.pop("judged", {})
    print(f"{'operation':36} {'requests':>8} {'past the signature':>18} {'successes':>9}")
    for operation, count in sorted(total.items()):
        line = f"{operation:36} {count['requests']:8} {count['past']:18} {count['successes']:9}"
        codes = [name for name in count if name.startswith("code ")]
        told = ", ".join(f"{name[5:]} {count[name]}" for name in sorted(codes))
        print(f"{line}  {told}")
    requests = sum(count["requests"] for count in total.values())
    past = sum(count["past"] for count in total.values())
    successes = sum(count["successes"] for count in total.values())
    print(f"{requests} requests, {past} past the signature, {successes} successes")
    good, bad = judged.get("good", 0), judged.get("not good", 0)
    print(f"by the document {good} of them were good and {bad} were not, which the mall was held to")
    unreached = [name for name, count in total.items() if name != "others" and not count["past"]]
    if unreached or not past:
        print(f"nothing got past the signature of: {', '.join(unreached) or 'all operations'}")
    return past > 0 and not unreached and good > 0 and bad > 0


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
