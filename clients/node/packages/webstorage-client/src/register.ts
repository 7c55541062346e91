import { openEnvironment, resetBeforeTest, type EnvironmentOptions } from "./environment.js";

/**
 * Loaded before the tests, this gives node:test, Mocha and Bun a storage that is reset before each
 * test: `node --import webstorage-client/register --test`, `mocha --require webstorage-client/register`,
 * `bun test --preload webstorage-client/register`. `WEBSTORAGE_OPTIONS` holds the options as JSON.
 */
function optionsFromEnvironment(): EnvironmentOptions {
  const text = process.env.WEBSTORAGE_OPTIONS;
  if (!text) return {};
  try {
    return JSON.parse(text) as EnvironmentOptions;
  } catch (error) {
    throw new Error(`WEBSTORAGE_OPTIONS is not JSON (${(error as Error).message}). Nothing was set up. Write it as {"origin":"https://example.test"}.`);
  }
}

const environment = openEnvironment({ global: globalThis, optionsAt: "WEBSTORAGE_OPTIONS" }, optionsFromEnvironment());
const beforeEachTest = () => resetBeforeTest(environment);

/** Mocha takes its root hooks from here. */
export const mochaHooks = { beforeEach: beforeEachTest };

interface Runner {
  beforeEach(hook: () => void): void;
}

// A hook turns the process into a test of node:test, which only the runner's own children are.
if (process.env.NODE_TEST_CONTEXT !== undefined) (require("node:test") as Runner).beforeEach(beforeEachTest);
if (process.versions.bun !== undefined && process.env.NODE_ENV === "test") (require("bun:test") as Runner).beforeEach(beforeEachTest);
