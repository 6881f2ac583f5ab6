"""Hooks of schemathesis: make generated requests signed and known, and judge each answer.

A generated request would fail at its signature, and with that nothing behind it would be tested. So
most requests get a partner, a card, a plan and numbers that the demo has, and a signature.

What a hook does with a request depends on the request and the seed alone: schemathesis repeats
requests, and a repetition that goes another way would look like a fickle server.
"""

import atexit
import collections
import hashlib
import json
import os
import random
import time

import schemathesis

from mall import (
    NEEDS_HMAC,
    Judge,
    hmac_signature,
    is_past_the_signature,
    outcome,
    signature,
    written,
)

SEED = os.environ["FUZZ_SEED"]
COUNTS = os.environ["FUZZ_COUNTS"]

# The partner that has a key, and a listener of it.
KEYED = "P012345"
KEY = os.environ["FUZZ_KEY"]
LISTENER = os.environ["FUZZ_LISTENER"]

with open(os.environ["FUZZ_DOCUMENT"], encoding="utf-8") as file:
    JUDGE = Judge(json.load(file))

# Per operation: requests, those past the signature, successes, and the codes of failures.
counts = collections.defaultdict(collections.Counter)

# Some numbers of orders repeat, so that look-ups find something and conflicts occur.
NUMBERS = [f"F{number}" for number in range(8)]
CARDS = ["89852420180910340793", "89852000000000009002"]

# The group that the run makes first.
GROUP = "FUZZ-1"

# What a field may be given, and how often.
KNOWN = {
    "partnerCode": (0.9, ["P000270"]),
    "version": (0.5, ["3.0"]),
    "deviceCode": (0.7, CARDS),
    "sim_id": (0.7, CARDS),
    "requestOrderId": (0.4, ["", *NUMBERS]),
    "payId": (0.6, [f"PAY{number}" for number in NUMBERS]),
    "transactionId": (0.5, [""]),
    "autoRenewal": (0.7, ["0", "1"]),
    "purchase_order_id": (0.6, ["", *NUMBERS]),
    "order_id": (0.6, ["", *NUMBERS]),
    "group_id": (0.7, [GROUP]),
    "sim_ids": (0.7, [[CARDS[0]], CARDS, ["89430101521032420180", CARDS[1]]]),
    "area": (0.5, ["", "DE", "欧洲", "Europe"]),
}

# What belongs together: an order has a price only with its plan, periods and currency.
PLAN = {"servicePlanCode": "SP202111041459", "packageCode": "DP20190726001274"}
PRICE = {"orderPeriod": "1", "payAmount": "12.36", "payUnit": "12.36", "settlePrice": "12.36"}
PRICE |= {"payCurrency": "GBP"}
PAID = {"payRst": "SUCCESS", "payStatus": "1"}


def make_known(params, dice):
    """Gives fields that are there values that the demo knows."""
    for name, (share, values) in KNOWN.items():
        if name in params and dice.random() < share:
            params[name] = dice.choice(values)
    for group, share in ((PLAN, 0.7), (PRICE, 0.7), (PAID, 0.5)):
        if dice.random() < share:
            params.update({name: value for name, value in group.items() if name in params})
    if "orderNo" in params and dice.random() < 0.8:
        # A number of its own lets an order get past the numbers of those before it.
        number = dice.choice([*NUMBERS[:2], f"F{dice.randrange(10**9)}"])
        params["orderNo"] = number
        if "payId" in params:
            params["payId"] = f"PAY{number}"
    if "tradeTime" in params and dice.random() < 0.5:
        params["tradeTime"] = str(time.time_ns() // 1_000_000)


def make_keyed(case, params, dice):
    """Makes a request about push endpoints one of the partner that has a key, mostly about its listener."""
    params["partnerCode"] = KEYED
    params["tradeTime"] = str(time.time_ns() // 1_000_000)
    # With another method it is no call.
    operation = JUDGE.operation(case.method.upper(), case.path) or "none"
    params["tradeType"] = operation.rsplit("_", 1)[0]
    # The listener stays there for those that come after.
    if "endpoint_id" in params and not case.path.endswith("/delete") and dice.random() < 0.7:
        params["endpoint_id"] = LISTENER
    for name in ("cursor", "event_id"):
        if name in params and dice.random() < 0.6:
            params[name] = ""


@schemathesis.hook
def before_call(context, case, kwargs):
    params = case.query if case.method == "GET" else case.body
    if not isinstance(params, dict):
        return
    told = json.dumps([SEED, case.method, case.path, params], sort_keys=True, default=str)
    dice = random.Random(hashlib.sha256(told.encode(errors="replace")).digest())
    if dice.random() < 0.1:
        return
    in_path = dict(case.path_parameters or {})
    known = {**params, **in_path}
    make_known(known, dice)
    needs_key = NEEDS_HMAC in case.path
    if needs_key and dice.random() < 0.9:
        make_keyed(case, known, dice)
    if "sign" in known and dice.random() < 0.9:
        tokens = {name: written(value) for name, value in known.items()}
        known["sign"] = hmac_signature(KEY, tokens) if needs_key else signature(tokens)
    case.path_parameters = {name: known.pop(name) for name in in_path}
    if case.method == "GET":
        case.query = known
    else:
        case.body = known


@schemathesis.hook
def after_call(context, case, response):
    request = response.request
    operation = JUDGE.operation(request.method, request.url) or "others"
    result = outcome(response.status_code, response.text)
    count = counts[operation]
    count["requests"] += 1
    if operation != "others" and is_past_the_signature(result):
        count["past"] += 1
    if result == "S":
        count["successes"] += 1
    else:
        count[f"code {result}"] += 1


@schemathesis.check
def document_and_server_agree(ctx, response, case):
    """The mall takes for good what is good by the document, and nothing else."""
    request = response.request
    if JUDGE.operation(request.method, request.url) is None:
        return
    kind = request.headers.get("Content-Type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        return
    sent = (request.method, request.url, request.body)
    wrong, was_good = JUDGE.disagreement(
        sent, response.status_code, response.text, request.headers
    )
    counts["judged"]["good" if was_good else "not good"] += 1
    assert wrong is None, wrong


@atexit.register
def write_counts():
    with open(COUNTS, "w", encoding="utf-8") as file:
        json.dump(counts, file)
