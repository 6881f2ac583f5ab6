"""Every field of every call at the edges of what it may hold, beside what a fuzzer happens to find.

Each request is the document's own example with one field changed, signed, and judged like all others.
"""

import json
from urllib.parse import quote, urlencode

import requests

from mall import Judge, body_text, is_past_the_signature, outcome, signature, written

TEXTS = [
    *("", " ", "0", "1", "2", "3", "4", "-0", "-1", "+1", "1.", ".5", "1.0", "2.0", "3.0", "4.0"),
    *("01", "007", "000000001", "0000000001", "1e3", "1E+2", "0x1", "1,5", "1.2.3", "0.5", "1.50"),
    *("200", "201", "999", "1000", "1001", "1000000", "1000001", "999999999", "1\n", "\n"),
    *("12.36", "12.360", "12.365", "0.00001", "1.2345", "100000000000000.5", "00000000000001.2"),
    *("9" * 16, "9" * 18, "9" * 20, "9" * 32, "9" * 33, "0" * 32, f"1.{'0' * 30}", f"1.{'0' * 31}"),
    *("８", "１２", "٣", "é", "欧洲", "𠀋", "\u200b", "\u2028", "\u007f", "\u0080", "\u009f", "\u00a0"),
    *("\x00", "a\x1fb", "a\tb", "a.b", "a b", "a-b_C9", "P000270\n", "{}", '"', "\\", "/", "null"),
    *("gbp", "Gbp", "GBP", "JPY", "KWD", "CLF", "XAU", "XXX", "GB", "GBPX", " GBP"),
    *("2022-06-07 15:10:35", "2022-06-07", "2022-06-07T15:10:35", "2022-06-07 15:10:35 "),
    *("2023-02-29 00:00:00", "2024-02-29 23:59:59", "1900-02-29 00:00:00", "2000-02-29 00:00:00"),
    *("2024-04-31 00:00:00", "2024-12-31 00:00:00", "2024-00-01 00:00:00", "2024-13-01 00:00:00"),
    *("2024-01-00 00:00:00", "2024-01-32 00:00:00", "2024-01-01 24:00:00", "2024-01-01 23:60:00"),
    *("2024-01-01 23:59:60", "0000-01-01 00:00:00", "0001-01-01 00:00:00", "9999-12-29 23:59:59"),
    *(digits * length for digits in "8a" for length in (17, 18, 22, 23, 31, 34, 35, 36)),
    *(letter * length for letter in "xé𠀋" for length in (32, 33, 63, 64, 65, 128, 129, 256, 257)),
    *(letter * length for letter in "x" for length in (2048, 2049)),
]

# JSON texts that are no strings. Numbers count as they are written.
OTHERS = [
    *("null", "true", "false", "[]", "{}", "[1]", '{"a":1}'),
    *("0", "1", "3", "4", "-0", "-1", "1.0", "3.0", "1e0", "0.5", "12.36", "12.365", "1e-7", "1E3"),
    *("200", "201", "999", "1000", "1000000", "1000001", "1234567890", "89852420180910340793"),
    *("9" * 17, "9" * 22, "9" * 23, "9" * 32, "9" * 33, "9" * 64, "9" * 65, "-" + "9" * 31),
]


class Edges:
    """A pass over all calls of test mode."""

    def __init__(self, url, document):
        self.url = url
        self.document = document
        self.judge = Judge(document)
        self.session = requests.Session()
        self.known = set()
        self.sent = self.past = self.good = 0
        self.wrong = []

    def run(self):
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                if not operation["operationId"].endswith("_test"):
                    continue
                if method == "get":
                    self.query(path, self.example_query(operation))
                else:
                    self.bodies(method.upper(), path, operation)

    def component(self, reference):
        _, _, kind, name = reference["$ref"].split("/")
        return self.document["components"][kind][name]

    def is_new(self, name, schema):
        """Whether a field of this name and schema was not seen in a call before."""
        field = (name, written(schema))
        return not (field in self.known or self.known.add(field))

    def example_body(self, operation):
        content = self.component(operation["requestBody"])["content"]["application/json"]
        schemas = self.component(content["schema"])["properties"]
        example = next(iter(content["examples"].values()))["value"]
        # What stands in the path has no place in the body.
        schemas = {name: schema for name, schema in schemas.items() if schema is not False}
        return schemas, {name: written(value) for name, value in example.items()}

    def example_query(self, operation):
        named = [self.component(one) for one in operation["parameters"]]
        query = [one for one in named if one["in"] in ("query", "path")]
        example = {one["name"]: one["example"] for one in query if "example" in one}
        return {one["name"]: one["schema"] for one in query}, example

    def bodies(self, method, path, operation):
        schemas, example = self.example_body(operation)
        _, in_path = self.example_query(operation)
        for name, text in in_path.items():
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        in_path = {name: written(text) for name, text in in_path.items()}
        texts = [written(text) for text in TEXTS] + OTHERS
        for name, schema in schemas.items():
            for token in texts if self.is_new(name, schema) else []:
                members = {**example, name: token}
                if name != "sign":
                    members["sign"] = written(signature({**members, **in_path}))
                self.send(method, path, body_text(members).encode())
            self.send(method, path, body_text({**example, "sign": '"x"', name: "null"}).encode())
            left = {one: token for one, token in example.items() if one != name}
            self.send(method, path, body_text(left).encode())

    def query(self, path, fields):
        schemas, example = fields
        for name, schema in schemas.items():
            for text in TEXTS if self.is_new(name, schema) else []:
                members = {**example, name: text}
                if name != "sign":
                    tokens = {one: written(value) for one, value in members.items()}
                    members["sign"] = signature(tokens)
                self.get(path, members)
            if f"{{{name}}}" not in path:
                self.get(path, {one: value for one, value in example.items() if one != name})

    def get(self, path, members):
        """Asks with fields in the query, but for those that the path names."""
        left = dict(members)
        for name in list(members):
            if f"{{{name}}}" in path:
                # An empty segment, or one of dots, would be another path.
                text = left.pop(name)
                if not text.strip("."):
                    return
                path = path.replace(f"{{{name}}}", quote(text, safe=""))
        self.send("GET", f"{path}?{urlencode(left)}")

    def send(self, method, target, body=None):
        headers = {"Content-Type": "application/json"}
        url = self.url + target
        answer = self.session.request(method, url, data=body, headers=headers, timeout=10)
        sent = (method, answer.request.url, body)
        wrong, was_good = self.judge.disagreement(sent, answer.status_code, answer.text)
        self.sent += 1
        self.good += was_good
        self.past += is_past_the_signature(outcome(answer.status_code, answer.text))
        if answer.status_code >= 500:
            wrong = f"answered {answer.status_code}: {answer.text}"
        if wrong:
            self.wrong.append(f"{method} {target}\n    {(body or b'').decode()}\n    {wrong}")


def run(url, document):
    """Sends all edges; returns whether the document and the mall agree on all."""
    edges = Edges(url, json.loads(document.read_text()))
    edges.run()
    for one in edges.wrong[:20]:
        print(one)
    print(
        f"{edges.sent} requests at the edges, {edges.past} past the signature, {edges.good} good "
        f"by the document, {len(edges.wrong)} on which the document and the mall differ"
    )
    return not edges.wrong and edges.past > 0 and 0 < edges.good < edges.sent
