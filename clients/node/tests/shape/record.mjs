// Records what Chromium answers to the probe: `node tests/shape/record.mjs` rewrites chromium.json.
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";

const here = new URL(".", import.meta.url);
const chromium = process.env.CHROMIUM ?? "chromium";
const probe = readFileSync(new URL("probe.js", here), "utf8");
// The source of the probe has no closing script tag, so it can stand in the page as it is.
const page = `<!doctype html><meta charset="utf-8"><title>probe</title><pre id="result"></pre><script>
const collect = ${probe.trim().replace(/^\/\/.*\n/gm, "")}
window.evaluate = (name) => globalThis.eval(name);
let report;
try {
  report = { results: collect(window) };
} catch (error) {
  report = { failure: String(error.stack) };
}
fetch("/result", { method: "POST", body: JSON.stringify(report) });
</script>`;

const version = spawnSync(chromium, ["--version"], { encoding: "utf8" });
if (version.error) throw new Error(`Chromium did not start (${version.error.message}); install it or name it in CHROMIUM.`);

const profile = mkdtempSync(join(tmpdir(), "webstorage-probe-"));
const results = await new Promise((resolve, reject) => {
  const server = createServer((request, response) => {
    if (request.method !== "POST") return response.setHeader("content-type", "text/html").end(page);
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
      response.end();
      server.close();
      browser.kill();
      const report = JSON.parse(Buffer.concat(chunks).toString("utf8"));
      if (report.failure) reject(new Error(report.failure));
      else resolve(report.results);
    });
  });
  let browser;
  server.listen(0, "127.0.0.1", () => {
    browser = spawn(
      chromium,
      [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", `--user-data-dir=${profile}`, `http://127.0.0.1:${server.address().port}/`,
      ],
      { stdio: "ignore" },
    );
    browser.on("error", reject);
    browser.on("exit", (code) => reject(new Error(`Chromium ended with ${code} before it reported.`)));
  });
});
rmSync(profile, { recursive: true, force: true, maxRetries: 10 });

const record = { browser: version.stdout.trim().replace(/ built on.*/, ""), results };
writeFileSync(new URL("chromium.json", here), `${JSON.stringify(record, null, 1)}\n`);
console.log(`${Object.keys(results).length} observations of ${record.browser}`);
process.exit(0);
