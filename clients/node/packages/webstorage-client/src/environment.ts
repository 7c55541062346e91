import { checkOptions, kind, oneOf, type Kind, type Kinds } from "./options.js";
import { originOf } from "./origin.js";
import { forgetClasses } from "./realm.js";
import { writeSync } from "./runtime.js";
import { makeThrowaway, removeThrowaway } from "./throwaway.js";
import { createWebStorage, STORAGE_OPTIONS, type WebStorage, type WebStorageOptions } from "./web-storage.js";

export type { WebStorage } from "./web-storage.js";
export type { StorageWindow } from "./storage-window.js";
export { oneOf, type Kind, type Kinds } from "./options.js";

/** Options that every test runner's plugin takes. All of them are JSON, so that comments in test files can set them. */
export interface EnvironmentOptions
  extends Pick<WebStorageOptions, "origin" | "url" | "storageDir" | "quota" | "mode" | "seed" | "emitSelf" | "strict" | "server" | "timeout"> {
  /** Goes back to the seed before each test (the default), or only with each file. */
  reset?: "test" | "file";
  /** Keeps `localStorage` in a new directory that is removed at the end, for code that starts processes. */
  temporaryDir?: boolean;
  /** Gives a global object without `addEventListener` that of the document; true by default. */
  eventMethods?: boolean;
}

const { origin, url, storageDir, quota, mode, seed, emitSelf, strict, server, timeout } = STORAGE_OPTIONS;
const OPTIONS: Kinds<EnvironmentOptions> = {
  ...{ origin, url, storageDir, quota, mode, seed, emitSelf, strict, server, timeout },
  reset: oneOf("test", "file"),
  temporaryDir: kind.flag,
  eventMethods: kind.flag,
};

/** The storage of a test environment and its end. */
export interface Environment {
  webStorage: WebStorage;
  options: EnvironmentOptions;
  /** Whether anybody has told when a test or a file begins. */
  told: boolean;
  /** Takes everything back. */
  close(): void;
}

/** What the plugin of a runner knows about its environment. */
export interface EnvironmentPlace {
  /** The global object of the tests' realm. */
  global: object;
  /** The URL of the document, where the environment has one. */
  url?: string | undefined;
  /** Where the options are written, for messages about them. */
  optionsAt?: string;
  /** What tells when a test begins, in words that follow "Have". Without it nothing is said if nobody has told. */
  reset?: string;
}

// Code inside of a test's realm has copies of these modules of its own; the registry of symbols is
// what both sides share.
const CURRENT = Symbol.for("webstorage-client.environment");

function eventTargetOf(global: object): EventTarget | undefined {
  return typeof (global as Partial<EventTarget>).dispatchEvent === "function" ? (global as EventTarget) : undefined;
}

/** Refuses options that are wrong; `own` are those of the plugin itself. */
export function checkEnvironmentOptions(optionsAt: string, options: unknown, own: Record<string, Kind> = {}): void {
  checkOptions(optionsAt, options, { ...own, ...OPTIONS });
}

/** The URL of the window, unless the options want the storage of another document. */
function documentIn({ url }: EnvironmentPlace, options: EnvironmentOptions): Pick<WebStorageOptions, "url"> {
  if (url === undefined || (options.origin !== undefined && originOf(options.origin) !== originOf(url))) return {};
  return { url };
}

/** Gives a test environment its storage. */
export function openEnvironment(place: EnvironmentPlace, options: EnvironmentOptions = {}): Environment {
  checkEnvironmentOptions(place.optionsAt ?? "openEnvironment", options);
  const { reset: _reset, temporaryDir = false, eventMethods = true, ...own } = options;
  const target = eventTargetOf(place.global);
  const storageOptions: WebStorageOptions = {
    ...documentIn(place, options),
    ...own,
    ...(target === undefined ? {} : { target }),
    global: place.global,
    // The next file of this process goes on with the same server, in areas of its own.
    keepServer: !temporaryDir,
  };
  const temporary = temporaryDir ? makeThrowaway("test") : undefined;
  const webStorage = createWebStorage(temporary === undefined ? storageOptions : { ...storageOptions, storageDir: temporary });
  webStorage.install(place.global, { eventMethods });
  const environment: Environment = {
    webStorage,
    options,
    told: false,
    close() {
      const used = webStorage.serverPid !== undefined;
      Reflect.deleteProperty(place.global, CURRENT);
      try {
        webStorage.close();
      } finally {
        forgetClasses(place.global);
        if (temporary !== undefined) removeThrowaway(temporary);
      }
      if (place.reset === undefined || environment.told || !used || options.reset === "file") return;
      // It is printed, because Vitest waits only sometimes for what its processes and threads throw at their end.
      writeSync(
        2,
        `${place.optionsAt}: the storage was to be reset before each test, and nothing has told it when a test begins. What one test has stored the next ones have found. ` +
          `Have ${place.reset}, or write reset: "file" if they are to find it.\n`,
      );
    },
  };
  Object.defineProperty(place.global, CURRENT, { value: environment, configurable: true });
  return environment;
}

/** The environment of the test that is running, if it is one with storage. */
function presentEnvironment(): Environment | undefined {
  return (globalThis as { [CURRENT]?: Environment })[CURRENT];
}

/** The storage of the test that is running: faults, snapshots, windows. */
export function currentWebStorage(): WebStorage {
  const environment = presentEnvironment();
  if (environment === undefined) {
    throw new Error("This test has no environment with Web Storage. Configure the plugin of the test runner, or load webstorage-client/register before the tests.");
  }
  return environment.webStorage;
}

/** Goes back to the seed if the options want that before each test. A test without storage has nothing to reset. */
export function resetBeforeTest(environment: Environment | undefined = presentEnvironment()): void {
  if (environment === undefined) return;
  environment.told = true;
  if (environment.options.reset !== "file") environment.webStorage.reset();
}

/** Goes back to the seed at the start of a file, for runners that use one environment for many files. */
export function resetBeforeFile(environment: Environment | undefined = presentEnvironment()): void {
  if (environment === undefined) return;
  environment.told = true;
  environment.webStorage.reset();
}
