"""What the fuzzer must know of the mall: signing content, signatures, and when a request is good.

The judgement of a request is made from the bytes that were sent and the document alone, so that it
holds the document and the server against each other.
"""

import hashlib
import hmac
import json
import re
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema_rs

# Codes of a request that did not get past its signature.
BEFORE_THE_SIGNATURE = {
    "BAD_REQUEST",
    "PARTNER_UNKNOWN",
    "SIGN_MISMATCH",
    "IP_NOT_ALLOWED",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "RATE_LIMITED",
    "UNAVAILABLE",
    "INTERNAL",
}

# How deep the values of a request may nest; a schema cannot say it.
DEPTH_MAX = 32


def written(value):
    """A value as compact JSON with sorted keys."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def body_text(tokens):
    """A body from its members' JSON texts, which stand in it as they are."""
    members = (f"{written(name)}:{token}" for name, token in sorted(tokens.items()))
    return "{" + ",".join(members) + "}"


def signature(tokens):
    """The keyless signature over members' JSON texts: without `sign` and nulls."""
    kept = {name: token for name, token in tokens.items() if name != "sign" and token != "null"}
    return hashlib.md5(body_text(kept).encode()).hexdigest()


# How the paths of the calls begin that need a signature with a key.
NEEDS_HMAC = "/mall/push-"


def hmac_signature(key, tokens):
    """The same under `hmac-sha256`."""
    kept = {name: token for name, token in tokens.items() if name != "sign" and token != "null"}
    return hmac.new(key.encode(), body_text(kept).encode(), hashlib.sha256).hexdigest()


def outcome(status, text):
    """`S`, the code of a failure, or the status of whatever else it is."""
    try:
        answer = json.loads(text)
    except ValueError:
        return str(status)
    if status == 200:
        return "S"
    data = answer.get("data") if isinstance(answer, dict) else None
    return data.get("code") if isinstance(data, dict) else str(status)


def is_past_the_signature(result):
    """Whether an outcome shows that the signature was good."""
    return result not in BEFORE_THE_SIGNATURE and not result.isdigit()


class Unreadable(Exception):
    """A request without readable parameters."""


def _members(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise Unreadable("a name occurs twice")
    return dict(pairs)


def _no_constant(token):
    raise Unreadable(f"{token} is not JSON")


def _depth(value):
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def sent_parameters(method, url, body):
    """The parameters of a request; a number is the text of its token, as the mall reads it."""
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True, errors="replace")
    if any("\ufffd" in part for pair in query for part in pair):
        raise Unreadable("the query is not UTF-8")
    members = []
    if body and body.strip():
        try:
            text = body.decode() if isinstance(body, bytes) else body
            parsed = json.loads(
                text,
                parse_int=str,
                parse_float=str,
                parse_constant=_no_constant,
                object_pairs_hook=_members,
            )
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"not JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise Unreadable("not an object")
        if _depth(parsed) > DEPTH_MAX:
            raise Unreadable("too deep")
        # Python reads a lone half of a surrogate pair, which is no character.
        if re.search("[\ud800-\udfff]", json.dumps(parsed, ensure_ascii=False)):
            raise Unreadable("half a character")
        members = list(parsed.items())
    return _members(query + members)


class Judge:
    """Says of a request whether it is good by the document."""

    def __init__(self, document):
        # By method and path: the operation's name, and the schemas of its parameters and of its body.
        self.operations = {}
        # By operation: the headers that have a form.
        self.headers = {}
        components = document["components"]
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                parameters = [
                    components["parameters"][one["$ref"].rsplit("/", 1)[1]]
                    for one in operation["parameters"]
                ]
                places = ("path",) if "requestBody" in operation else ("query", "path")
                schemas = [self._schema([one for one in parameters if one["in"] in places])]
                if "requestBody" in operation:
                    name = operation["requestBody"]["$ref"].rsplit("/", 1)[1]
                    content = components["requestBodies"][name]["content"]
                    schemas.append(content["application/json"]["schema"])
                self.operations[method.upper(), path] = (
                    operation["operationId"],
                    [
                        jsonschema_rs.Draft202012Validator({**schema, "components": components})
                        for schema in schemas
                    ],
                )
                self.headers[operation["operationId"]] = {
                    one["name"]: re.compile(one["schema"]["pattern"])
                    for one in parameters
                    if one["in"] == "header" and "pattern" in one["schema"]
                }
        # Paths with fields in them: of each, how it reads.
        self.templates = [
            (key, re.compile(re.sub(r"\{([a-z_]+)\}", r"(?P<\1>[^/]+)", key[1])))
            for key in self.operations
            if "{" in key[1]
        ]

    @staticmethod
    def _schema(parameters):
        return {
            "type": "object",
            "properties": {one["name"]: one["schema"] for one in parameters},
            "required": [one["name"] for one in parameters if one["required"]],
            "maxProperties": 256,
        }

    def _find(self, method, url):
        """The operation of a request, and the fields that stand in its path."""
        path = urlsplit(url).path
        found = self.operations.get((method, path))
        if found is not None:
            return found, {}
        for key, template in self.templates:
            fields = template.fullmatch(path)
            if key[0] == method and fields is not None:
                named = fields.groupdict().items()
                return self.operations[key], {one: unquote(text) for one, text in named}
        return None, {}

    def operation(self, method, url):
        """The operation that a request is for, if the document has it."""
        found, _ = self._find(method, url)
        return found and found[0]

    def _errors(self, validators, params, in_path):
        """What the schemas say: that of the parameters and, where there is one, that of the body."""
        if len(validators) == 1:
            yield from validators[0].iter_errors({**params, **in_path})
        else:
            yield from validators[0].iter_errors(in_path)
            yield from validators[1].iter_errors(params)

    def fault(self, method, url, body, headers=None):
        """Why a request is not good; `None` if it is."""
        (name, validators), in_path = self._find(method, url)
        for header, form in self.headers[name].items():
            text = (headers or {}).get(header)
            text = text.decode("latin-1") if isinstance(text, bytes) else text
            if text is not None and not form.fullmatch(text):
                return f"{header} has another form"
        try:
            params = sent_parameters(method, url, body)
            _members([*params.items(), *in_path.items()])
            if any("\ufffd" in text for text in in_path.values()):
                raise Unreadable("the path is not UTF-8")
        except Unreadable as error:
            return str(error)
        if name.startswith("queryOrder_") and not any(
            params.get(one) for one in ("purchase_order_id", "order_id", "sim_id")
        ):
            # OpenAPI cannot say that one of several parameters must be there.
            return "none of the numbers is there"
        error = next(self._errors(validators, params, in_path), None)
        return error and f"{'/'.join(map(str, error.instance_path))}: {error.message}"

    def disagreement(self, request, status, text, headers=None):
        """How the mall's answer differs from what the document says of a request, and whether the
        request was good. A good request is not a BAD_REQUEST, and one that is not good is."""
        fault, result = self.fault(*request, headers), outcome(status, text)
        if fault is None:
            wrong = result == "BAD_REQUEST" and not self._depends_on_partner(request, text)
            return (f"good by the document, and yet refused: {text}" if wrong else None), True
        if self._is_near_the_largest_amount(request):
            return None, False
        if status != 400:
            return f"not good by the document ({fault}), and yet taken", False
        late = result in BEFORE_THE_SIGNATURE and self._is_about_pay_unit(request)
        if result != "BAD_REQUEST" and not late:
            return f"not good by the document ({fault}), but called {result}", False
        return None, False

    @staticmethod
    def _is_near_the_largest_amount(request):
        """Whether an amount may or may not fit into 64 bits: the document stops where all do."""
        try:
            params = sent_parameters(*request)
        except Unreadable:
            return False
        amounts = (params.get(name) for name in ("payAmount", "payUnit"))
        near = re.compile(r"0*[1-9][0-9]{14,18}(?:\.[0-9]+)?")
        return any(isinstance(amount, str) and near.fullmatch(amount) for amount in amounts)

    def _is_about_pay_unit(self, request):
        """Whether `payUnit` alone is wrong, which the mall sees after the signature only."""
        try:
            params = sent_parameters(*request)
        except Unreadable:
            return False
        params.pop("payUnit", None)
        method, url, _ = request
        (_, validators), in_path = self._find(method, url)
        return next(self._errors(validators, params, in_path), None) is None

    @staticmethod
    def _depends_on_partner(request, text):
        """Whether a refusal rests on the partner's settlement currency, which no document knows:
        the demo's have two decimals."""
        if json.loads(text)["data"].get("field") != "settlePrice":
            return False
        price = sent_parameters(*request)["settlePrice"]
        return re.fullmatch(r"0*[0-9]{1,13}(?:\.[0-9]{1,2}0*)?", price) is None
