// Has JavaScript's library of Standard Webhooks verify what `sign_pushes` printed.
//
// Every push must be taken under each of its keys, and refused when it was tampered with. Ends with the number
// of pushes, or with the first mismatch. The one argument says where the library is installed.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.argv[2]}/package.json`);
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

let count = 0;
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { headers, body, keys } = JSON.parse(line);
  const earlier = String(Number(headers["webhook-timestamp"]) - 1);
  for (const { whsec } of keys) {
    const library = new Webhook(whsec);
    assert.deepEqual(library.verify(body, headers), JSON.parse(body), line);
    const refuses = (body, changed = {}) =>
      assert.throws(() => library.verify(body, { ...headers, ...changed }), WebhookVerificationError, line);
    for (const tampered of [`${body} `, body.replace("{", "{ "), "{}"]) refuses(tampered);
    refuses(body, { "webhook-id": "evt_other" });
    refuses(body, { "webhook-timestamp": earlier });
  }
  count += 1;
}
console.log(count);
