// A browser that obeys: one JSON object per line on standard input, one answer per line on standard output.
//
// Knows pages, keys and the DOM; knows nothing of VS Code. `windows.py` speaks with it. Its arguments are the folder in
// which playwright-core is installed, the browser, and for how many milliseconds to be patient with a page.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, executablePath, patience] = process.argv.slice(2);
const timeout = Number(patience);
const { chromium } = createRequire(`${folder}/`)("playwright-core");
const browser = await chromium.launch({
  executablePath,
  timeout,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
// One for all windows: what the editor keeps of a user is kept in it.
const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"] });
context.setDefaultTimeout(timeout);
const pages = [];

const operations = {
  async open({ url, width, height }) {
    const page = await context.newPage();
    await page.setViewportSize({ width, height });
    await page.goto(url, { waitUntil: "commit" }); // what comes then is waited for by whoever needs it
    return pages.push(page) - 1;
  },
  async type({ page, text, delay }) {
    await pages[page].keyboard.type(text, { delay });
  },
  async press({ page, keys }) {
    for (const key of keys) await pages[page].keyboard.press(key);
  },
  async insert({ page, text }) {
    await pages[page].keyboard.insertText(text);
  },
  async click({ page, selector, timeout }) {
    await pages[page].locator(selector).first().click({ timeout });
  },
  async hover({ page, selector, timeout }) {
    await pages[page].locator(selector).first().hover({ timeout });
  },
  async evaluate({ page, script, argument }) {
    return await pages[page].evaluate(`(${script})(${JSON.stringify(argument ?? null)})`);
  },
  async wait({ page, script, argument, timeout }) {
    const handle = await pages[page].waitForFunction(`(${script})(${JSON.stringify(argument ?? null)})`, undefined, {
      timeout,
      polling: "raf",
    });
    return await handle.jsonValue();
  },
  async screenshot({ page, path }) {
    await pages[page].screenshot({ path, caret: "initial" });
  },
  async close({ page }) {
    await pages[page].close();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, ...given } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ result: (await operations[operation](given)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message).split("\n")[0] }));
  }
}
await browser.close();
