"""Hooks of schemathesis for the admin API: give generated requests a token and names of things that
there are, and judge each answer.

A token of each role is made beforehand, and things are looked up once, so that here too what a hook
does with a request depends on the request and the seed alone.
"""

import atexit
import collections
import hashlib
import json
import os
import random
import re
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import requests
import schemathesis

SEED = os.environ["FUZZ_SEED"]
COUNTS = os.environ["FUZZ_COUNTS"]
URL = os.environ["FUZZ_URL"] + "/admin/v1"
OWNER = os.environ["FUZZ_TOKEN"]
ROLES = ["viewer", "operator", "owner"]
MODES = ["test", "test", "test", "live"]
PARTNERS = ["P000270", "P000818", "P012345", "FUZZ0", "FUZZ1"]
PLANS = ["SP202111041459", "SP201804280499", "SP201804281999", "PLAN-F"]
PACKAGES = ["DP20190726001274", "PACKAGE20180428000007", "PACK-F"]
CURRENCIES = ["GBP", "USD", "EUR", "JPY"]

with open(os.environ["FUZZ_DOCUMENT"], encoding="utf-8") as file:
    DOCUMENT = json.load(file)

# Per operation: requests, those past the token and its role, successes, and the codes of failures.
counts = collections.defaultdict(collections.Counter)


def ask(method, path, **more):
    headers = {"Authorization": f"Bearer {OWNER}"}
    answer = requests.request(method, URL + path, headers=headers, timeout=10, **more)
    answer.raise_for_status()
    return answer.json()


def listed(path, name):
    """The ids of the first things of a list, in an order that is the same each time."""
    return sorted(item[name] for item in ask("GET", path)["items"])[:8]


def new_token(role):
    return ask("POST", "/tokens", json={"name": f"fuzz {role}", "role": role})


def imports():
    files = [{"kind": "packages"}, {"kind": "sims", "partner": "P000270"}, {"kind": "prices"}]
    made = [ask("POST", "/test/imports", json={**one, "file_name": "f.csv"}) for one in files]
    ids = [one["import_id"] for one in made]
    # One that can be applied.
    ask("PUT", f"/test/imports/{ids[1]}/parts/1", data=FILES[0].encode())
    return ids


FILES = [
    "iccid,carrier,state\n89852420180910340801,simulator,ready\n",
    "code,unit,calendar\nX,daily,false\n",
    'iccid,carrier\n"\n',
    "\n",
]
IMPORTS = imports()
MADE = {role: new_token(role) for role in ROLES}
TOKENS = {role: made["text"] for role, made in MADE.items()}
# Schemathesis uses ids that it saw in answers; a run that retires its own token hears 401 ever after.
KEPT = {made["token"]["token_id"] for made in MADE.values()}
# What a path's parameter may be; `code` is of what stands before it.
NAMES = {
    "mode": MODES,
    "partners": PARTNERS,
    "plans": PLANS,
    "packages": PACKAGES,
    "currency": CURRENCIES,
    "iccid": ["89852420180910340793", "89852000000000009002", "89860220190905123941"],
    "token_id": [new_token("viewer")["token"]["token_id"]],
    "key_id": listed("/test/partners/P012345/keys", "key_id"),
    "price_id": listed("/test/partners/P000270/prices", "price_id"),
    "order_id": listed("/test/orders", "order_id"),
    "job_id": listed("/test/jobs?partner=P000270", "job_id"),
    "import_id": IMPORTS,
    # A sample to a listener goes nowhere.
    "endpoint_id": [
        one["endpoint_id"]
        for one in ask("GET", "/test/partners/P012345/push-endpoints")["items"]
        if one["kind"] == "listener"
    ],
    "part": ["1", "1", "2"],
    "kind": ["sims", "packages", "plans", "prices"],
}
# Whose keys, prices and cards those above are.
OWNERS = {"endpoint_id": "P012345", "key_id": "P012345", "price_id": "P000270", "iccid": "P000270"}

# What a member of a body may be; most have to be what there is.
MEMBERS = {
    "code": PARTNERS,
    "plan_code": PLANS,
    "package_code": PACKAGES,
    "carrier": ["simulator"],
    "carrier_product": ["F"],
    "area": [{"en": "Europe", "zh": "欧洲"}, {"en": "Europe"}],
    "description": [{}, {"en": "A plan"}],
    "file_name": ["f.csv"],
    "partner": PARTNERS,
    "zone": ["UTC", "Europe/Berlin"],
    "currency": CURRENCIES,
    "settlement_currency": CURRENCIES,
    "amount": ["9.99", "0.01", "12"],
    "limit": ["100.00", "0", "50000"],
    "countries": [["DE"], ["DE", "FR"], []],
    "ip_allowlist": [[], ["192.0.2.0/24"]],
    "periods": [[1], [1, 3, 12]],
    "valid_from": [None, "2030-01-01T00:00:00Z"],
    "expires_at": [None, "2030-01-01T00:00:00Z"],
    "sha256": [None],
    "url": ["https://fuzz.example/pushes", "https://10.0.0.1/"],
    "events": [[], ["plan.expired"]],
}


def dice_of(case):
    told = [SEED, case.method, case.path, case.path_parameters, case.query, str(case.body)]
    text = json.dumps(told, sort_keys=True, default=str)
    return random.Random(hashlib.sha256(text.encode(errors="replace")).digest())


def make_known(case, dice):
    """Puts what there is into path, query and body."""
    path = dict(case.path_parameters or {})
    for name in path:
        place = name if name != "code" else case.path.split("/{code}")[0].rsplit("/", 1)[1]
        # A list may be empty, such as that of orders.
        if NAMES.get(place) and dice.random() < 0.85:
            path[name] = dice.choice(NAMES[place])
    for name in OWNERS.keys() & path.keys():
        if "code" in path and dice.random() < 0.85:
            path["mode"], path["code"] = "test", OWNERS[name]
    case.path_parameters = path
    if isinstance(case.query, dict):
        query = dict(case.query)
        for name in MEMBERS.keys() & query.keys():
            query[name] = dice.choice(MEMBERS[name])
        # What the lists gave out as a cursor is not known here.
        if dice.random() < 0.7:
            query.pop("cursor", None)
        case.query = query
    if isinstance(case.body, dict):
        body = dict(case.body)
        for name in sorted(MEMBERS.keys() & body.keys()):
            if dice.random() < 0.85:
                body[name] = dice.choice(MEMBERS[name])
        if "name" in body and dice.random() < 0.85:
            # A plan's in several languages, everybody else's in one.
            body["name"] = {"en": "F", "zh": "F"} if "/plans/" in case.path else "F"
        case.body = body
    elif case.path.endswith("/parts/{part}") and dice.random() < 0.7:
        case.body = dice.choice(FILES).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    dice = dice_of(case)
    role = dice.choices([*ROLES, None, "wrong"], [8, 12, 74, 3, 3])[0]
    operation = operation_of(case) or {}
    if not operation.get("parameters") and "requestBody" not in operation:
        # All its requests are the same, and so would be their dice.
        role = "owner"
    headers = {name: case.headers[name] for name in case.headers or {}}
    headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    if role is not None:
        headers["Authorization"] = f"Bearer {TOKENS.get(role, 'sat_0_wrong')}"
    case.headers = headers
    if dice.random() < 0.9:
        make_known(case, dice)
    if (case.path_parameters or {}).get("token_id") in KEPT:
        case.path_parameters = {**case.path_parameters, "token_id": NAMES["token_id"][0]}


def role_of(request):
    """The role with which a request was sent."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return next((role for role, text in TOKENS.items() if text == given), None)


def operation_of(case):
    """The document's operation that a request was for: a method that it does not have is none."""
    return DOCUMENT["paths"].get(case.path, {}).get(case.method.lower())


def answered(response):
    """`S`, or the code of a failure."""
    if response.status_code < 400:
        return "S"
    try:
        return response.json().get("code", str(response.status_code))
    except (ValueError, AttributeError):
        return str(response.status_code)


@schemathesis.hook
def after_call(context, case, response):
    operation = operation_of(case)
    count = counts[operation["operationId"] if operation else "others"]
    count["requests"] += 1
    if operation and response.status_code not in (401, 403, 405):
        count["past"] += 1
    result = answered(response)
    count["successes" if result == "S" else f"code {result}"] += 1


def without_nulls(value):
    """A null says the same as nothing at all."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


@schemathesis.check
def roles_are_heeded(ctx, response, case):
    """Who has no role is told 401, who has too low a one 403, and nobody else either of them."""
    operation, status = operation_of(case), response.status_code
    # A path that a generated name changed into another one is not this operation's any more.
    if operation is None or status in (404, 405):
        return
    needed = re.search("`([a-z]+)`", operation["description"])[1]
    role = role_of(response.request)
    if role is None:
        assert status == 401, f"without a token {status} was answered"
    elif ROLES.index(role) < ROLES.index(needed):
        assert status == 403, f"{role} was answered {status} where {needed} is needed"
    else:
        assert status not in (401, 403), f"{role} was answered {status}, and {needed} is enough"


@schemathesis.check
def what_is_taken_is_good(ctx, response, case):
    """Nothing is taken that the document does not allow."""
    operation = operation_of(case)
    if operation is None or response.status_code >= 300:
        return
    request = response.request
    named = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    for name, _ in parse_qsl(urlsplit(request.url).query, keep_blank_values=True):
        assert name in named, f"the document has no parameter {name}"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    good = content is None or not request.body
    counts["judged"]["without a body" if good else "with a body"] += 1
    if not good:
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema)
        error = next(validator.iter_errors(without_nulls(json.loads(request.body))), None)
        assert error is None, f"not good by the document, and yet taken: {error.message}"


@atexit.register
def write_counts():
    with open(COUNTS, "w", encoding="utf-8") as file:
        json.dump(counts, file)
