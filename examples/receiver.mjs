// A receiver of pushes in Node, with nothing but its standard library.
//
//     PUSH_KEYS="k1=HEX k2=HEX" PORT=8099 node receiver.mjs

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const TOLERANCE_SECONDS = 300;
const BODY_BYTES_MAX = 19_999;
const pairs = process.env.PUSH_KEYS.split(/\s+/).map((pair) => pair.split("="));
const keys = new Map(pairs.map(([id, hex]) => [id, Buffer.from(hex, "hex")]));
const seen = new Set(); // A real receiver keeps the events in its database, under a unique index.

const same = (a, b) => {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
};

// Throws unless the raw body was signed by the mall, and not long ago.
function verify(header, body) {
  if (header("x-lf-notification-version") !== "1.0" || header("x-lf-algo") !== "HMAC-SHA1") {
    throw new Error("another version");
  }

  // Standard Webhooks: one signature for each key that is live at the mall.
  const head = `${header("webhook-id")}.${header("webhook-timestamp")}.`;
  const mac = (key) => createHmac("sha256", key).update(head).update(body).digest("base64");
  const good = [...keys.values()].map((key) => `v1,${mac(key)}`);
  const given = header("webhook-signature").split(" ");
  if (!given.some((signature) => good.some((mine) => same(signature, mine)))) {
    throw new Error("webhook-signature is wrong");
  }

  // The vendor's headers: the newest key only, which may not be known here yet.
  const [id, signature] = header("x-lf-signature").split("/", 2);
  if (keys.has(id)) {
    const tail = `1.0:HMAC-SHA1:${header("x-lf-timestamp")}`;
    const mine = createHmac("sha1", keys.get(id)).update(body).update(tail).digest("hex");
    if (!same(signature ?? "", mine)) throw new Error("x-lf-signature is wrong");
  }

  for (const seconds of [Number(header("webhook-timestamp")), Number(header("x-lf-timestamp")) / 1000]) {
    if (!(Math.abs(Date.now() / 1000 - seconds) <= TOLERANCE_SECONDS)) {
      throw new Error("signed too long ago, or in the future");
    }
  }
}

const server = createServer(async (request, response) => {
  const answer = (status) => response.writeHead(status).end();
  const header = (name) => {
    const values = request.headersDistinct[name] ?? [];
    if (values.length !== 1) throw new Error(`${name} is not there once`);
    return values[0];
  };
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) return answer(413);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  try {
    verify(header, body);
    const event = JSON.parse(body.toString("utf8"));
    if (event.event_id !== header("webhook-id")) throw new Error("another event's id");
    if (!seen.has(event.event_id)) {
      seen.add(event.event_id); // An event may come twice; it is handled once.
      console.log("event", event.event_type, event.event_id);
    }
    answer(204);
  } catch (error) {
    console.log("refused:", error.message);
    answer(401);
  }
});
server.listen(Number(process.env.PORT), "127.0.0.1", () => {
  console.error("listening on port", server.address().port);
});
