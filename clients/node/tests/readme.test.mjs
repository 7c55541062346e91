// Runs the examples of the READMEs. A comment before a block, which readers do not see, names the file it
// becomes, or says why it is not run.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { root, serverPath } from "./paths.mjs";

const require = createRequire(import.meta.url);

/** The blocks of a README by the names of their files. */
function examplesIn(readme) {
  const text = readFileSync(join(root, readme), "utf8");
  const blocks = [...text.matchAll(/^(?:<!-- (runs|not run): (.+) -->\n)?```\w*\n([^]*?)^```$/gm)];
  const examples = new Map();
  for (const [block, what, name, source] of blocks) {
    assert.ok(what !== undefined, `${readme} has a block that says neither how it runs nor why not:\n${block}`);
    if (what === "not run") continue;
    assert.ok(!examples.has(name), `${readme} has two blocks ${name}`);
    examples.set(name, source);
  }
  assert.equal(blocks.length, text.match(/^```/gm).length / 2, `${readme} has a block that was not found`);
  return examples;
}

const folders = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
});

/** A project beside the others, which has the packages as an installation would have put them. */
function project(files) {
  const folder = mkdtempSync(join(root, "tests/projects/readme-"));
  folders.push(folder);
  for (const [path, source] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), source);
  }
  return folder;
}

function run(folder, program, args, environment = {}) {
  const { NODE_TEST_CONTEXT, NODE_OPTIONS, FORCE_COLOR, ...inherited } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: folder, env: { ...inherited, NO_COLOR: "1", CI: "true", WEBSTORAGE_SERVER: serverPath(), ...environment } });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

async function assertRuns(pattern, ...command) {
  const { code, output } = await run(...command);
  assert.equal(code, 0, output);
  assert.match(output, pattern);
  return output;
}

const MANIFEST = '{ "private": true, "type": "module" }\n';
const STATE = JSON.stringify({ cookies: [], origins: [{ origin: "http://localhost:3000", localStorage: [{ name: "token", value: "abc" }] }] });

/** Takes every example once and complains about those nobody has taken. */
function taker(readme) {
  const examples = examplesIn(readme);
  after(() => assert.deepEqual([...examples.keys()], [], `examples of ${readme} that no test runs`));
  return (...names) =>
    Object.fromEntries(
      names.map((name) => {
        const source = examples.get(name);
        assert.ok(source !== undefined, `${readme} has no example ${name}`);
        examples.delete(name);
        return [name, source];
      }),
    );
}

describe("README", () => {
  test("every block says why it is not run", () => {
    assert.deepEqual([...examplesIn("README.md").keys()], []);
  });
});

describe("webstorage-client", () => {
  const take = taker("packages/webstorage-client/README.md");

  test("the start", async () => {
    const { "start.mjs": source } = take("start.mjs");
    const folder = project({ "start.mjs": `${source}\nconsole.log("theme:", localStorage.theme, sessionStorage.length);\nclose();\n` });
    await assertRuns(/^theme: dark 0$/m, folder, process.execPath, ["start.mjs"]);
    assert.ok(existsSync(join(folder, "storage")));
  });

  test("the asynchronous client", async () => {
    const { "asynchronous.mjs": source } = take("asynchronous.mjs");
    const folder = project({
      "asynchronous.mjs": source,
      "look.mjs": `
        import { createWebStorage } from "webstorage-client";
        const storage = createWebStorage({ origin: "https://example.test", storageDir: "./storage" });
        console.log("n:", storage.localStorage.n);
        storage.close();
      `,
    });
    await assertRuns(/^$/, folder, process.execPath, ["asynchronous.mjs"]);
    await assertRuns(/^n: 2$/m, folder, process.execPath, ["look.mjs"]);
  });

  test("node:test, Mocha and Bun", async () => {
    const { "runners.sh": commands } = take("runners.sh");
    const folder = project({
      "package.json": MANIFEST,
      "test/example.test.js": `
        import assert from "node:assert/strict";
        const captured = localStorage;
        const test = typeof Bun === "undefined" ? globalThis.it ?? (await import("node:test")).test : (await import("bun:test")).test;
        test("stores", () => captured.setItem("a", "1"));
        test("starts with the seed", () => assert.deepEqual({ ...localStorage }, { seeded: "yes" }));
      `,
    });
    const bin = join(folder, "bin");
    mkdirSync(bin);
    symlinkSync(join(require.resolve(`@oven/bun-${process.platform}-${process.arch}/package.json`), "../bin/bun"), join(bin, "bun"));
    const environment = {
      PATH: [bin, dirname(process.execPath), join(root, "node_modules/.bin"), process.env.PATH].join(delimiter),
      WEBSTORAGE_OPTIONS: '{"seed": {"seeded": "yes"}}',
    };
    const lines = commands.trim().split("\n");
    assert.equal(lines.length, 3);
    for (const line of lines) await assertRuns(/pass 2\b|2 passing|2 pass\b/, folder, "sh", ["-c", line], environment);
  });

  for (const [name, options, files] of [
    ["full.test.mjs", {}, { "save.mjs": 'export function save(text) {\n  try {\n    localStorage.setItem("draft", text);\n  } catch {}\n}\n' }],
    ["quota.test.mjs", { quota: 100 }],
    ["windows.test.mjs", {}],
    ["zustand.test.mjs", {}],
  ]) {
    test(`the recipe ${name}`, async () => {
      const folder = project({ ...take(name), ...files });
      const environment = { WEBSTORAGE_OPTIONS: JSON.stringify(options) };
      await assertRuns(/pass 1\b/, folder, process.execPath, ["--import", "webstorage-client/register", "--test", name], environment);
    });
  }

  test("the recipe for Playwright", async () => {
    const folder = project({
      ...take("playwright.sh"),
      "playwright/.auth/user.json": STATE,
      "test/login.test.mjs": `
        import assert from "node:assert/strict";
        import { test } from "node:test";
        test("is logged in", () => assert.deepEqual({ ...localStorage }, { token: "abc" }));
      `,
    });
    await assertRuns(/pass 1\b/, folder, "sh", ["-e", "playwright.sh"]);
  });
});

const RECIPES = ["spies.test.js", "quota.test.js", "windows.test.js", "playwright.test.js", "zustand.test.js"];

describe("vitest-environment-webstorage", () => {
  const take = taker("packages/vitest-environment-webstorage/README.md");

  test("the configuration and the recipes", async () => {
    const folder = project({ ...take("vitest.config.js", ...RECIPES), "package.json": MANIFEST, "playwright/.auth/user.json": STATE });
    const output = await assertRuns(/Tests\s+5 passed \(5\)/, folder, process.execPath, [join(require.resolve("vitest/package.json"), "../vitest.mjs"), "run"]);
    assert.match(output, /Test Files\s+5 passed/);
  });
});

describe("jest-environment-webstorage", () => {
  const take = taker("packages/jest-environment-webstorage/README.md");

  test("the configuration and the recipes", async () => {
    const folder = project({ ...take("jest.config.js", ...RECIPES), "package.json": '{ "private": true }\n', "playwright/.auth/user.json": STATE });
    const output = await assertRuns(/Tests:\s+5 passed, 5 total/, folder, process.execPath, [join(require.resolve("jest/package.json"), "../bin/jest.js")]);
    assert.match(output, /Test Suites: 5 passed/);
  });
});
