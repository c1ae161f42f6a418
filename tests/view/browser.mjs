// Drives one Chromium for the tests: a JSON object a line in, a JSON object a line out.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [, , packages, chromium] = process.argv;
const require = createRequire(`${packages}/`);
const playwright = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const browser = await playwright.chromium.launch({ executablePath: chromium, args: ["--no-sandbox"] });
let context = null;
let page = null;
let troubles = [];

const commands = {
  async open({ url, width = 1280, height = 800, scheme = "light", touch = false }) {
    await context?.close();
    troubles = [];
    context = await browser.newContext({
      viewport: { width, height },
      colorScheme: scheme,
      hasTouch: touch,
      reducedMotion: "reduce",
      bypassCSP: false,
    });
    page = await context.newPage();
    page.on("pageerror", (error) => troubles.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") troubles.push(`console: ${message.text()}`);
    });
    page.on("dialog", (dialog) => {
      troubles.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) troubles.push(`request: ${request.url()}`);
    });
    await page.goto(url);
    await page.waitForSelector("#app");
  },
  go: ({ hash }) => page.evaluate((text) => void (location.hash = text), hash),
  run: ({ script }) => page.evaluate(script),
  // by the debugger: what polls inside the page would have to evaluate text there, which its policy forbids
  async wait({ script }) {
    for (const end = Date.now() + 60000; Date.now() < end; await new Promise((done) => setTimeout(done, 40))) {
      if (await page.evaluate(script)) return true;
    }
    throw new Error("never became true");
  },
  click: ({ selector }) => page.click(selector, { timeout: 30000 }),
  at: ({ x, y }) => page.mouse.click(x, y),
  wheel: async ({ x, y, by }) => {
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, by);
  },
  press: async ({ keys }) => {
    for (const key of keys) await page.keyboard.press(key);
  },
  fill: ({ selector, text }) => page.fill(selector, text),
  text: ({ selector }) => page.textContent(selector, { timeout: 30000 }),
  scheme: ({ scheme }) => page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" }),
  picture: async ({ path }) => void (await page.screenshot({ path })),
  troubles: () => troubles,
  // the checker is a script of its own, which the page's policy would not let in: it comes by the debugger
  async axe() {
    const client = await context.newCDPSession(page);
    await client.send("Runtime.evaluate", { expression: axe });
    const found = await client.send("Runtime.evaluate", {
      expression:
        "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }).then((r) => r.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary.slice(0, 300)).join(' | ')}`))",
      awaitPromise: true,
      returnByValue: true,
    });
    if (found.exceptionDetails) throw new Error(JSON.stringify(found.exceptionDetails).slice(0, 500));
    return found.result.value;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { name, ...given } = JSON.parse(line);
  try {
    const value = await commands[name](given);
    process.stdout.write(`${JSON.stringify({ value: value ?? null })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: String(error.message ?? error) })}\n`);
  }
}
await browser.close();
