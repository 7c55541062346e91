// What one test or file leaves to the next ones in the real test runners: nothing.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { root } from "./paths.mjs";
import { assertPassed, runProgram } from "./programs.mjs";

const require = createRequire(import.meta.url);
const vitest = [join(require.resolve("vitest/package.json"), "../vitest.mjs"), "run"];
const jest = [join(require.resolve("jest/package.json"), "../bin/jest.js")];

const folders = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
});

/** Runs a program on a project of these files, beside the packages as they are installed. */
function run(files, args, environment = {}) {
  const folder = mkdtempSync(join(root, "tests/projects/isolation-"));
  folders.push(folder);
  for (const [path, source] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), source);
  }
  return runProgram(process.execPath, args, folder, environment);
}

const vitestConfig = (options) => `export default { test: { environment: "webstorage", watch: false, include: ["*.test.mjs"], ...${JSON.stringify(options)} } };`;
const jestConfig = (options) => `module.exports = { testEnvironment: "webstorage", transform: {}, ...${JSON.stringify(options)} };`;
const SETUP = { setupFiles: ["vitest-environment-webstorage/setup"] };

const LEAKING = `
  import { expect, test } from "vitest";
  test("one", () => { localStorage.setItem("a", "1"); });
  test("two", () => { expect(localStorage.getItem("a")).toBe("1"); });
`;

describe("Vitest", () => {
  for (const pool of ["forks", "threads", "vmThreads", "vmForks"]) {
    test(`pool ${pool}: without the setup file items that pass from test to test are said`, async () => {
      const without = await run({ "vitest.config.mjs": vitestConfig({}), "a.test.mjs": LEAKING }, [...vitest, `--pool=${pool}`]);
      assert.match(without.output, /environmentOptions\.webstorage: the storage was to be reset before each test, and nothing has told it .*\/setup" among the setupFiles, or write reset: "file"/);
      const asked = await run({ "vitest.config.mjs": vitestConfig({ environmentOptions: { webstorage: { reset: "file" } } }), "a.test.mjs": LEAKING }, [...vitest, `--pool=${pool}`]);
      assertPassed(asked, /Tests\s+2 passed/);
      assert.doesNotMatch(asked.output, /nothing has told/);
    });

    test(`pool ${pool}: the setup file does nothing in a file with another environment, and a file may use no storage`, async () => {
      const files = {
        "vitest.config.mjs": vitestConfig(SETUP),
        "node.test.mjs": '// @vitest-environment node\nimport { expect, test } from "vitest";\ntest("one", () => { expect(typeof localStorage).toBe("undefined"); });\n',
        "unused.test.mjs": 'import { test } from "vitest";\ntest("one", () => {});\n',
      };
      assertPassed(await run(files, [...vitest, `--pool=${pool}`]), /Tests\s+2 passed/);
    });

    test(`pool ${pool}: nothing is taken for a leak of the test that used the storage first`, async () => {
      const source = `
        import { expect, test } from "vitest";
        import { createWebStorage } from "webstorage-client";
        test("uses it", async () => {
          localStorage.setItem("a", "1");
          expect(sessionStorage.length).toBe(0);
          for (const mode of ["mirrored", "direct"]) {
            const storage = createWebStorage({ mode, storageDir: "./" + mode });
            const heard = new Promise((resolve) => storage.openWindow().target.addEventListener("storage", resolve));
            storage.localStorage.setItem("a", "1");
            await heard;
          }
        });
      `;
      const { code, output } = await run({ "vitest.config.mjs": vitestConfig(SETUP), "a.test.mjs": source }, [...vitest, `--pool=${pool}`, "--detect-async-leaks"]);
      assertPassed({ code, output }, /Tests\s+1 passed/);
      assert.doesNotMatch(output, /leak/i);
    });
  }
});

describe("Jest", () => {
  for (const base of ["webstorage", "jest-environment-webstorage/jsdom"]) {
    for (const mode of ["mirrored", "direct"]) {
      test(`the realm of the first file is let go: ${mode} on ${base}`, async () => {
        const source = 'test("uses it", () => { localStorage.setItem("a", "1"); sessionStorage.setItem("a", "1"); });\n';
        const files = { "jest.config.js": jestConfig({ testEnvironment: base, testEnvironmentOptions: { webstorage: { mode } } }), "a.test.js": source, "b.test.js": source };
        // Jest looks once, a moment after the file, whether its realm is gone, and V8 collects it when it likes. What holds
        // a realm holds it each time.
        let { code, output } = await run(files, [...jest, "--runInBand", "--detectLeaks"]);
        for (let again = 0; again < 3 && /is leaking memory/.test(output); again++) {
          ({ code, output } = await run(files, [...jest, "--runInBand", "--detectLeaks"]));
        }
        assertPassed({ code, output }, /Tests:\s+2 passed, 2 total/);
      });
    }
  }

  const FAKE_FROM_THE_START = jestConfig({ testEnvironment: "node", fakeTimers: { enableGlobally: true } });
  for (const mode of ["mirrored", "direct"]) {
    test(`a client that is loaded under fake timers has the real ones: ${mode}`, async () => {
      const source = `
        const { createWebStorage } = require("webstorage-client");
        test("hears of changes", async () => {
          const storage = createWebStorage({ mode: "${mode}", storageDir: "./storage" });
          const heard = new Promise((resolve) => storage.openWindow().target.addEventListener("storage", resolve));
          storage.localStorage.setItem("a", "1");
          expect((await heard).newValue).toBe("1");
          storage.close();
          expect(jest.getTimerCount()).toBe(0);
        });
      `;
      assertPassed(await run({ "jest.config.js": FAKE_FROM_THE_START, "a.test.js": source }, [...jest, "--runInBand"]), /Tests:\s+1 passed/);
    });
  }

  test("a client that is loaded while functions are replaced has those of the environment's", async () => {
    const source = `
      const fs = require("fs");
      test("is loaded late", () => {
        const spy = jest.spyOn(fs, "writeSync").mockImplementation(() => { throw new Error("no files"); });
        const storage = require("webstorage-client").createWebStorage();
        storage.localStorage.setItem("a", "1");
        expect(storage.localStorage.a).toBe("1");
        storage.close();
        const { calls } = spy.mock;
        spy.mockRestore();
        expect(calls).toEqual([]);
      });
    `;
    assertPassed(await run({ "jest.config.js": jestConfig({}), "a.test.js": source }, [...jest, "--runInBand"]), /Tests:\s+1 passed/);
  });

  test("a class that overrides handleTestEvent must call ours", async () => {
    const files = {
      "jest.config.js": jestConfig({ testEnvironment: "./environment.js" }),
      "environment.js": `
        const { TestEnvironment } = require("jest-environment-webstorage");
        module.exports = class extends TestEnvironment { handleTestEvent = () => undefined; };
      `,
      "a.test.js": 'test("one", () => { localStorage.setItem("a", "1"); });\n',
    };
    const { output } = await run(files, [...jest, "--runInBand"]);
    assert.match(output, /testEnvironmentOptions\.webstorage: the storage was to be reset before each test/);
  });
});

describe("node:test", () => {
  const source = `
    import assert from "node:assert/strict";
    import { test } from "node:test";
    test("one", () => { localStorage.setItem("a", "1"); });
    test("two", () => assert.equal(localStorage.getItem("a"), process.env.EXPECTED ?? null));
  `;
  test("a file that the runner has not started says that items pass from test to test", async () => {
    const load = ["--import", "webstorage-client/register"];
    const alone = await run({ "a.test.mjs": source }, [...load, "a.test.mjs"], { EXPECTED: "1" });
    assertPassed(alone, /was not reset before each test, since this file was not run by node --test\./);
    for (const [args, environment] of [
      [["--test", "a.test.mjs"], {}],
      [["a.test.mjs"], { EXPECTED: "1", WEBSTORAGE_OPTIONS: '{"reset": "file"}' }],
    ]) {
      const { code, output } = await run({ "a.test.mjs": source }, [...load, ...args], environment);
      assertPassed({ code, output }, /pass 2/);
      assert.doesNotMatch(output, /not reset/);
    }
  });
});
