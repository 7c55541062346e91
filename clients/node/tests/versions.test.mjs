// The client and the plugins on the versions of Node that are in use besides the one that runs the tests, where
// newer ones have a `localStorage` of their own, and with the newest Vitest.
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { root } from "./paths.mjs";
import { assertPassed, runProgram } from "./programs.mjs";

const versions = join(root, "tests/versions");
const projects = join(versions, "projects");
const CASES = 24;

/** Runs a Node of a version. */
function run(version, cwd, args, environment) {
  return runProgram(join(versions, `node_modules/node-${version}/bin/node`), args, cwd, environment);
}

for (const version of [22, 24, 26]) {
  describe(`Node ${version}`, () => {
    test("is that version", async () => {
      assertPassed(await run(version, root, ["--version"]), new RegExp(`^v${version}\\.`));
    });
    const suites = ["shape/shape", "client/storage", "client/threads", "client/two-processes", "client/faults", "client/connect", "client/contexts", "client/spies"];
    test("the client", async () => {
      const files = suites.map((name) => `tests/${name}.test.mjs`);
      assertPassed(await run(version, root, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files]), /pass 1\d\d\n[^]*fail 0\n/);
    });
    test("the test runners", async () => {
      const pattern = "^(pool (forks|threads) on (node|jsdom)|in worker (processes|threads) on node|in one process on jsdom|files in parallel|serial)$";
      const args = ["--test", "--test-reporter=spec", `--test-name-pattern=${pattern}`, "tests/runners.test.mjs"];
      assertPassed(await run(version, root, args), /pass 9\n[^]*fail 0\n/);
    });
  });
}

describe("the newest Vitest", () => {
  // A project finds the Vitest and the plugins that are nearest to it.
  before(() => {
    rmSync(projects, { recursive: true, force: true });
    mkdirSync(projects);
    for (const name of ["vitest", "shared", "node_modules"]) cpSync(join(root, "tests/projects", name), join(projects, name), { recursive: true });
  });
  after(() => rmSync(projects, { recursive: true, force: true }));
  for (const pool of ["forks", "threads", "vmThreads", "vmForks"]) {
    for (const base of ["node", "jsdom", "happy-dom"]) {
      test(`pool ${pool} on ${base}`, async () => {
        const vitest = join(versions, "node_modules/vitest/vitest.mjs");
        const result = await run(26, join(projects, "vitest"), [vitest, "run", `--pool=${pool}`], { TEST_BASE: base });
        assertPassed(result, new RegExp(`v5\\.[^]*Tests\\s+${CASES} passed \\(${CASES}\\)`));
      });
    }
  }
});
