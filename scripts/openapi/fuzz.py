"""Holds a running demo against its document: every field at its edges, then schemathesis under several
seeds, then schemathesis against the admin API. Adds up what was reached.

    fuzz.py URL ADMIN_URL DIRECTORY

The owner's token stands in DIRECTORY/data/admin.token. It fails when a check fails, and when too little
got past the signature, or the token: a run that only ever hears SIGN_MISMATCH has tested nothing.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

import edges
from mall import hmac_signature, written

HERE = pathlib.Path(__file__).parent
SEEDS = [1, 2, 3]
EXAMPLES_PER_OPERATION = 25
ADMIN_SEED = 1
ADMIN_EXAMPLES_PER_OPERATION = 12
# Of all requests to the admin API so many get past token and role, or something is wrong with the run.
ADMIN_PAST_SHARE_MIN = 0.5
RUN_SECONDS_MAX = 600
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
]


def run(url, document, name, options, environment):
    """One run; returns whether all checks held, and what was counted."""
    counts = document.with_name(f"counts-{name}.json")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", url),
        *("--phases", "examples,coverage,fuzzing", "--continue-on-failure"),
        *("--request-timeout", "10", "--generation-database", "none", "--no-color"),
        *("--suppress-health-check", "all", "--warnings", "off", *options),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FUZZ_COUNTS": str(counts),
        "FUZZ_DOCUMENT": str(document),
        **environment,
    }
    print(f"-- {name}", flush=True)
    done = subprocess.run(command, cwd=document.parent, env=environment, timeout=RUN_SECONDS_MAX)
    counted = json.loads(counts.read_text()) if counts.exists() else {}
    return done.returncode == 0, counted


def a_listener(url, key):
    """Adds a listener, about which the calls about push endpoints can be made."""
    call = {"version": "3.0", "partnerCode": "P012345", "tradeType": "addPushEndpoint"}
    call |= {"tradeTime": str(time.time_ns() // 1_000_000), "kind": "listener"}
    call["sign"] = hmac_signature(key, {name: written(value) for name, value in call.items()})
    body = json.dumps(call).encode()
    request = urllib.request.Request(f"{url}/topup_test/mall/push-endpoints", data=body)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["data"]["endpoint"]["endpoint_id"]


def fuzz_partners(url, document, key):
    """All calls of partners under every seed; returns whether all held, and what was counted."""
    listener = a_listener(url, key)
    good, total = True, collections.defaultdict(collections.Counter)
    for seed in SEEDS:
        options = [
            *("--seed", str(seed), "--max-examples", str(EXAMPLES_PER_OPERATION)),
            *("--checks", ",".join([*CHECKS, "document_and_server_agree"])),
            *("--include-operation-id-regex", "_(test|root)$"),
        ]
        environment = {"SCHEMATHESIS_HOOKS": "hooks", "FUZZ_SEED": str(seed)}
        environment |= {"FUZZ_KEY": key, "FUZZ_LISTENER": listener}
        held, counted = run(url, document, f"seed {seed}", options, environment)
        good = good and held
        for operation, count in counted.items():
            total[operation].update(count)
    return good, total


def fuzz_admin(url, document, token):
    """All routes of the admin API; returns whether all held, and what was counted."""
    options = [
        *("--seed", str(ADMIN_SEED), "--max-examples", str(ADMIN_EXAMPLES_PER_OPERATION)),
        *("--checks", ",".join([*CHECKS, "roles_are_heeded", "what_is_taken_is_good"])),
    ]
    environment = {
        "SCHEMATHESIS_HOOKS": "admin",
        "FUZZ_SEED": str(ADMIN_SEED),
        "FUZZ_URL": url,
        "FUZZ_TOKEN": token,
    }
    return run(url, document, "admin API", options, environment)


def write_document(whole, path, of_admin):
    """Writes the document with the paths of one listener. Where that is, each run is told."""
    paths = {
        name: {method: one for method, one in methods.items() if method != "servers"}
        for name, methods in whole["paths"].items()
        if name.startswith("/admin/") == of_admin
    }
    path.write_text(json.dumps({**whole, "paths": paths}), encoding="utf-8")
    return path


def make_group(admin_url, token):
    """Makes the group that requests about groups are given; the demo has none."""
    group = {"group_id": "FUZZ-1", "name": "Fuzz", "sim_limit": 10, "plan_code": "SP202111041459"}
    request = urllib.request.Request(
        f"{admin_url.rstrip('/')}/admin/v1/test/partners/P000270/groups",
        data=json.dumps(group).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def main():
    url, admin_url, directory = sys.argv[1].rstrip("/"), sys.argv[2], pathlib.Path(sys.argv[3])
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=10) as answer:
        whole = json.load(answer)
    partners = write_document(whole, directory / "openapi.json", of_admin=False)
    admin = write_document(whole, directory / "openapi-admin.json", of_admin=True)
    token = (directory / "data" / "admin.token").read_text().strip()
    make_group(admin_url, token)
    print("-- every field at its edges", flush=True)
    good = edges.run(url, partners)
    told = (directory / "stdout").read_text()
    key = re.search(r"key \(shown only now\): (\S+)", told).group(1)
    held, total = fuzz_partners(url, partners, key)
    # After the partners', so that there are orders, jobs and requests to be looked at.
    admin_held, admin_counted = fuzz_admin(admin_url, admin, token)
    enough = [report(total), report_admin(admin_counted)]
    return good and held and admin_held and all(enough)


def table(total, past):
    """Says what was reached of each operation; returns the sums."""
    width = max(map(len, total), default=0)
    print(f"{'operation':{width}} {'requests':>8} {past:>18} {'successes':>9}")
    sums = collections.Counter()
    for operation, count in sorted(total.items()):
        count = collections.Counter(count)
        numbers = f"{count['requests']:8} {count['past']:18} {count['successes']:9}"
        codes = [name for name in count if name.startswith("code ")]
        told = ", ".join(f"{name[5:]} {count[name]}" for name in sorted(codes))
        print(f"{operation:{width}} {numbers}  {told}")
        sums.update({name: count[name] for name in ("requests", "past", "successes")})
    requests, reached, successes = sums["requests"], sums["past"], sums["successes"]
    print(f"{requests} requests, {reached} {past}, {successes} successes")
    unreached = [
        name for name, count in total.items() if name != "others" and not count.get("past")
    ]
    if unreached or not reached:
        print(f"nothing got {past} of: {', '.join(unreached) or 'all operations'}")
    return sums, reached > 0 and not unreached


def report(total):
    """Says what was reached of the partners' calls; returns whether that is enough."""
    judged = total.pop("judged", {})
    _, reached = table(total, "past the signature")
    good, bad = judged.get("good", 0), judged.get("not good", 0)
    print(f"by the document {good} of them were good and {bad} were not, which the mall was held to")
    return reached and good > 0 and bad > 0


def report_admin(total):
    """Says what was reached of the admin API; returns whether that is enough."""
    judged = total.pop("judged", {})
    sums, reached = table(total, "past the token")
    bodies = judged.get("with a body", 0)
    print(f"{bodies} of the bodies that were taken were held against the document")
    enough = sums["past"] >= ADMIN_PAST_SHARE_MIN * sums["requests"]
    if not enough:
        print(f"fewer than {ADMIN_PAST_SHARE_MIN:.0%} got past the token")
    return reached and enough and bodies > 0


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
