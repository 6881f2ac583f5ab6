"""Has Python's library of Standard Webhooks verify what `sign_pushes` printed.

Every push must be taken under each of its keys, and refused when it was tampered with. Ends with the number
of pushes, or with the first mismatch.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def refuses(library, body, headers):
    try:
        library.verify(body, headers)
    except WebhookVerificationError:
        return True
    return False


count = 0
for line in sys.stdin:
    push = json.loads(line)
    headers, body = push["headers"], push["body"].encode()
    for key in push["keys"]:
        library = Webhook(key["whsec"])
        assert library.verify(body, headers) == json.loads(body), line
        for tampered in (body + b" ", body.replace(b"{", b"{ ", 1), b"{}"):
            assert refuses(library, tampered, headers), line
        assert refuses(library, body, headers | {"webhook-id": "evt_other"}), line
        earlier = str(int(headers["webhook-timestamp"]) - 1)
        assert refuses(library, body, headers | {"webhook-timestamp": earlier}), line
    count += 1
print(count)
