// Looks at the page /docs/ of a running demo as a newcomer does:
//
//     node docs.mjs URL CHROMIUM MODULES PROFILE SCREENSHOT
//
// URL is the demo's, CHROMIUM the browser's program, MODULES the directory in which npm installed
// package.json, PROFILE a directory for the browser's data, SCREENSHOT the picture to be made.
import { createRequire } from "node:module";
import path from "node:path";

const [url, executablePath, modules, profile, screenshot] = process.argv.slice(2);
// The modules are not beside this file, where they would be taken for sources.
const { chromium } = createRequire(path.resolve(modules, "package.json"))("playwright-core");

const CALL = "singleVerify_test";
const CARD = "89852420180910340793";

let passed = 0;
let failed = 0;

function check(what, holds, why = "") {
  if (holds) {
    passed += 1;
    console.log(`ok: ${what}`);
  } else {
    failed += 1;
    console.log(`FAILED: ${what}${why && `: ${why}`}`);
  }
}

// All that the page asks for and complains of, from its first byte to its last.
const requests = [];
const complaints = [];

function watch(context) {
  context.on("request", (request) => requests.push(request.url()));
  context.on("requestfailed", (request) => {
    complaints.push(`${request.url()}: ${request.failure()?.errorText}`);
  });
  context.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.url()}: ${response.status()}`);
  });
  context.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  context.on("weberror", (error) => complaints.push(`uncaught: ${error.error()}`));
  context.on("page", (page) => page.on("websocket", (socket) => requests.push(socket.url())));
}

// The operations of the document, by service.
async function documented() {
  const document = await (await fetch(`${url}/openapi.json`)).json();
  const services = new Map(document.tags.map((tag) => [tag.name, []]));
  for (const operations of Object.values(document.paths)) {
    // A path's own parameters stand among its operations.
    for (const { tags = [], operationId } of Object.values(operations)) {
      for (const tag of tags) services.get(tag).push(`operations-${tag}-${operationId}`);
    }
  }
  return services;
}

async function allCallsAreListed(page) {
  const services = await documented();
  const names = [...services.keys()].join(", ");
  check("the document has the services", names === "Vshop, Payment, Topup, Admin", names);
  for (const [service, operations] of services) {
    const section = page.locator(".opblock-tag-section", {
      has: page.locator(`#operations-tag-${service}`),
    });
    const shown = await section.locator(".opblock").evaluateAll((all) => all.map(({ id }) => id));
    check(
      `all ${operations.length} calls of ${service} are listed, and no others`,
      operations.length > 0 && shown.sort().join() === operations.sort().join(),
      `listed are ${shown.join(", ")}`,
    );
  }
}

async function aCallCanBeTried(page) {
  const call = page.locator(`#operations-Vshop-${CALL}`);
  await call.locator(".opblock-summary").click();
  // A setting of the page switches it on at once; where it does not, a person presses the button.
  const editor = call.locator("textarea.body-param__text");
  const tryOut = call.getByRole("button", { name: "Try it out" });
  await editor.or(tryOut).first().waitFor();
  if (!(await editor.isVisible())) await tryOut.click();
  const body = JSON.parse(await editor.inputValue());
  check("the published example stands ready", body.deviceCode === CARD && Boolean(body.sign));
  const sent = page.waitForResponse((response) => response.request().method() === "POST");
  await call.getByRole("button", { name: "Execute" }).click();
  const path = new URL((await sent).url()).pathname;
  check("it is sent to test mode", path === "/vshop_uat/singleVerify", path);
  const answer = call.locator(".live-responses-table");
  const status = (await answer.locator("tbody .response-col_status").first().innerText()).trim();
  check("the page shows status 200", status.startsWith("200"), status);
  const text = await answer.locator("tbody .highlight-code").first().innerText();
  const read = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
  const shown = JSON.parse(read);
  check("the page shows operateCode S", shown.operateCode === "S", text);
  check("the page shows the card", shown.data?.deviceCode === CARD, text);
  await call.evaluate((element) => element.scrollIntoView());
}

const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1280, height: 1800 },
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  watch(context);
  const page = await context.newPage();
  await page.goto(`${url}/docs/`);
  await page.locator(".opblock").first().waitFor();
  await allCallsAreListed(page);
  await aCallCanBeTried(page);
  await page.screenshot({ path: screenshot });
  // The page may have asked for more when it had nothing else to do.
  await page.waitForLoadState("networkidle");
  const own = requests.filter((it) => new URL(it).origin === url || it.startsWith("data:"));
  const away = requests.filter((it) => !own.includes(it));
  check(`none of ${requests.length} requests leaves the server`, away.length === 0, away.join(" "));
  check("the page came from the server", requests.includes(`${url}/openapi.json`));
  check("the browser complains of nothing", complaints.length === 0, complaints.join("; "));
} catch (error) {
  check("the page can be used", false, String(error));
} finally {
  await context.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
