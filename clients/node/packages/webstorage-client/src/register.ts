import { openEnvironment, resetBeforeTest, type EnvironmentOptions } from "./environment.js";
import { fromJson, onProcess, writeSync } from "./runtime.js";

/**
 * Loaded before the tests, this gives node:test, Mocha and Bun a storage that is reset before each
 * test: `node --import webstorage-client/register --test`, `mocha --require webstorage-client/register`,
 * `bun test --preload webstorage-client/register`. `WEBSTORAGE_OPTIONS` holds the options as JSON.
 */
function optionsFromEnvironment(): EnvironmentOptions {
  const text = process.env.WEBSTORAGE_OPTIONS;
  if (!text) return {};
  try {
    return fromJson(text) as EnvironmentOptions;
  } catch (error) {
    throw new Error(`WEBSTORAGE_OPTIONS is not JSON (${(error as Error).message}). Nothing was set up. Write it as {"origin":"https://example.test"}.`);
  }
}

function closeAtEnd(): void {
  try {
    environment.close();
  } catch {
    // What was not confirmed was for a directory that is gone.
  }
}

/** A file of node:test that is run by itself is one of the runner's children for nobody, also not for this module. */
function complainOfNodeTest(): void {
  const { moduleLoadList = [] } = process as { moduleLoadList?: string[] };
  if (!moduleLoadList.includes("NativeModule test") || environment.told || environment.webStorage.serverPid === undefined) return;
  writeSync(
    2,
    "webstorage-client/register: the storage was not reset before each test, since this file was not run by node --test. What one test has stored the next ones have found. " +
      'Run it with --test, or set "reset": "file" in WEBSTORAGE_OPTIONS if they are to find it.\n',
  );
}

const environment = openEnvironment({ global: globalThis, optionsAt: "WEBSTORAGE_OPTIONS" }, optionsFromEnvironment());
const beforeEachTest = () => resetBeforeTest(environment);

/** Mocha takes its root hooks from here. */
export const mochaHooks = { beforeEach: beforeEachTest };

interface Runner {
  beforeEach(hook: () => void): void;
  afterAll(hook: () => void): void;
}

// A hook turns the process into a test of node:test, which only the runner's own children are.
if (process.env.NODE_TEST_CONTEXT !== undefined) (require("node:test") as Runner).beforeEach(beforeEachTest);
else if (environment.options.reset !== "file") onProcess("exit", complainOfNodeTest);
const bun = process.versions.bun !== undefined && process.env.NODE_ENV === "test" ? (require("bun:test") as Runner) : undefined;
bun?.beforeEach(beforeEachTest);

// A storage without a directory to remove is there to the very end, for what listens to the exit later than this.
// Bun's test runner tells nobody of its exit.
if (environment.options.temporaryDir === true) {
  onProcess("exit", closeAtEnd);
  bun?.afterAll(closeAtEnd);
}
