// The plugins inside of the real test runners, each as a process of its own.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { root } from "./paths.mjs";
import { assertPassed, runProgram } from "./programs.mjs";

const require = createRequire(import.meta.url);
const CASES = 12;
const FILES = 2;

/** Runs a program of a package on a project. */
function run(project, program, args, environment, runtime = process.execPath) {
  return runProgram(runtime, [...program, ...args], join(root, "tests/projects", project), environment);
}

const all = CASES * FILES;

/** Asserts that a runner fails and prints why. */
function assertRefused({ code, output }, pattern) {
  assert.notEqual(code, 0, output);
  assert.match(output, pattern);
}

describe("Vitest", () => {
  const vitest = [join(require.resolve("vitest/package.json"), "../vitest.mjs"), "run"];
  const passed = new RegExp(`Tests\\s+${all} passed \\(${all}\\)`);
  for (const pool of ["forks", "threads", "vmThreads", "vmForks"]) {
    for (const base of ["node", "jsdom", "happy-dom"]) {
      test(`pool ${pool} on ${base}`, async () => {
        assertPassed(await run("vitest", vitest, [`--pool=${pool}`], { TEST_BASE: base }), passed);
      });
    }
  }
  for (const [what, options, end] of [
    ["cannot be opened", { seed: "/nowhere.json" }, ""],
    ["has lost its server", {}, 'localStorage.a = "1"; currentWebStorage().flush(); process.kill(currentWebStorage().serverPid, "SIGKILL"); await teardown(globalThis);'],
  ]) {
    test(`the base is torn down when the storage ${what}`, async () => {
      const source = `
        import environment from "vitest-environment-webstorage/jsdom";
        import { currentWebStorage } from "vitest-environment-webstorage";
        await assert.rejects(async () => {
          const { teardown } = await environment.setup(globalThis, { webstorage: ${JSON.stringify(options)} });
          ${end}
        });
        console.log(typeof document);
      `;
      assertPassed(await run("vitest", [], ["--input-type=module", "-e", `import assert from "node:assert/strict"; ${source}`]), /^undefined$/m);
    });
  }
  for (const pool of ["forks", "vmThreads"]) {
    test(`wrong options are refused by name in pool ${pool}`, async () => {
      for (const [options, message] of [
        ['{"quotta": 1}', /environmentOptions\.webstorage: there is no option quotta\. Those that exist are base, .*quota/],
        ['{"base": "bogus"}', /option base must be "node", "jsdom" or "happy-dom", not "bogus"/],
      ]) {
        assertRefused(await run("vitest", vitest, [`--pool=${pool}`], { TEST_OPTIONS: options }), message);
      }
    });
  }
  for (const pool of ["forks", "threads"]) {
    test(`pool ${pool} without isolation`, async () => {
      assertPassed(await run("vitest", vitest, [`--pool=${pool}`, "--no-isolate", "--no-file-parallelism"]), passed);
    });
  }
});

describe("Jest", () => {
  const jest = [join(require.resolve("jest/package.json"), "../bin/jest.js")];
  const passed = new RegExp(`Tests:\\s+${all} passed, ${all} total`);
  test("the base is torn down when the storage has lost its server", async () => {
    const source = `
      const assert = require("node:assert/strict");
      const { TestEnvironment } = require("jest-environment-webstorage/jsdom");
      const projectConfig = { testEnvironmentOptions: {}, fakeTimers: {} };
      (async () => {
        const environment = new TestEnvironment({ globalConfig: {}, projectConfig }, { console });
        await environment.setup();
        environment.global.localStorage.a = "1";
        const { webStorage } = environment.global[Symbol.for("webstorage-client.environment")];
        webStorage.flush();
        process.kill(webStorage.serverPid, "SIGKILL");
        await assert.rejects(environment.teardown());
        console.log(environment.global);
      })();
    `;
    assertPassed(await run("jest", [], ["-e", source]), /^null$/m);
  });
  test("a wrong option is refused by name", async () => {
    const refused = await run("jest", jest, ["--runInBand"], { TEST_OPTIONS: '{"quotta": 1}' });
    assertRefused(refused, /testEnvironmentOptions\.webstorage: there is no option quotta\. Those that exist are .*quota/);
  });
  for (const base of ["node", "jsdom"]) {
    for (const [name, args] of [
      ["in one process", ["--runInBand"]],
      ["in worker processes", ["--maxWorkers=2"]],
      ["in worker threads", ["--maxWorkers=2", "--workerThreads"]],
    ]) {
      test(`${name} on ${base}`, async () => {
        assertPassed(await run("jest", jest, args, { TEST_BASE: base }), passed);
      });
    }
  }
});

const OPTIONS = JSON.stringify({ seed: { seeded: "yes" }, quota: 2000, url: "http://localhost:3000/" });

describe("node:test", () => {
  test("a wrong option is refused by name", async () => {
    const refused = await run("node-test", [], ["--import", "webstorage-client/register", "one.test.mjs"], { WEBSTORAGE_OPTIONS: '{"quotta": 1}' });
    assertRefused(refused, /WEBSTORAGE_OPTIONS: there is no option quotta\. Those that exist are .*quota/);
  });
  for (const [name, args] of [["files in parallel", []], ["one file after the other", ["--test-concurrency=1"]]]) {
    test(name, async () => {
      const result = await run("node-test", [], ["--import", "webstorage-client/register", "--test", ...args, "one.test.mjs", "two.test.mjs"], {
        WEBSTORAGE_OPTIONS: OPTIONS,
      });
      assertPassed(result, new RegExp(`pass ${all}\\n`));
    });
  }
});

describe("Mocha", () => {
  const mocha = [join(require.resolve("mocha/package.json"), "../bin/mocha.js")];
  for (const [name, args] of [["serial", []], ["parallel", ["--parallel", "--jobs=2"]]]) {
    test(name, async () => {
      const result = await run("mocha", mocha, ["--require", "webstorage-client/register", ...args, "one.test.cjs", "two.test.cjs"], {
        WEBSTORAGE_OPTIONS: OPTIONS,
      });
      assertPassed(result, new RegExp(`${all} passing`));
    });
  }
});

describe("Bun", () => {
  // The package `bun` would link the program in an install script, which is not run.
  const manifest = require(`@oven/bun-${process.platform}-${process.arch}/package.json`);
  const bun = join(require.resolve(`${manifest.name}/package.json`), "../bin/bun");
  test("bun test", async () => {
    const result = await run("bun", [], ["test", "--preload", "webstorage-client/register"], { WEBSTORAGE_OPTIONS: OPTIONS }, bun);
    // Bun runs all files in one process, which has one storage; each test starts with the seed all the same.
    assertPassed(result, new RegExp(`${all} pass`));
  });

  test("the temporary directory is removed at the end", async () => {
    const TMPDIR = mkdtempSync(join(tmpdir(), "webstorage-tests-"));
    try {
      const WEBSTORAGE_OPTIONS = JSON.stringify({ ...JSON.parse(OPTIONS), temporaryDir: true });
      assertPassed(await run("bun", [], ["test", "--preload", "webstorage-client/register"], { TMPDIR, WEBSTORAGE_OPTIONS }, bun), new RegExp(`${all} pass`));
      assert.deepEqual(readdirSync(TMPDIR), []);
    } finally {
      rmSync(TMPDIR, { recursive: true, force: true });
    }
  });
});
