import type { EnvironmentContext, JestEnvironment, JestEnvironmentConfig } from "@jest/environment";
import type { Circus } from "@jest/types";
import { checkEnvironmentOptions, openEnvironment, resetBeforeTest, type Environment, type EnvironmentOptions } from "webstorage-client/environment";

/** The `testEnvironmentOptions` of a Jest configuration: those of the storage, and what the environment below takes. */
export interface TestEnvironmentOptions {
  webstorage?: EnvironmentOptions;
  [name: string]: unknown;
}

type EnvironmentClass = new (config: JestEnvironmentConfig, context: EnvironmentContext) => JestEnvironment;

const OPTIONS_AT = "testEnvironmentOptions.webstorage";
const RESET = "jest-circus as the testRunner, and call handleTestEvent of this class where another one overrides it";

/** A Jest environment class with Web Storage in the tests' realm. */
export function withStorage<Class>(Base: Class): Class {
  const WithStorage = class extends (Base as EnvironmentClass) {
    readonly #options: EnvironmentOptions;
    #environment: Environment | undefined;

    constructor(config: JestEnvironmentConfig, context: EnvironmentContext) {
      const options = (config.projectConfig.testEnvironmentOptions.webstorage ?? {}) as EnvironmentOptions;
      checkEnvironmentOptions(OPTIONS_AT, options);
      super(config, context);
      this.#options = options;
    }

    override async setup(): Promise<void> {
      await super.setup();
      const global = this.global as unknown as object & { location?: { href?: string } };
      this.#environment = openEnvironment({ global, url: global.location?.href, optionsAt: OPTIONS_AT, reset: RESET }, this.#options);
    }

    override async teardown(): Promise<void> {
      try {
        this.#environment?.close();
      } finally {
        this.#environment = undefined;
        await super.teardown();
      }
    }

    override readonly handleTestEvent = (event: Circus.Event | Circus.AsyncEvent): void => {
      if (this.#environment === undefined) return;
      if (event.name === "test_start") resetBeforeTest(this.#environment);
      else this.#environment.told = true;
    };
  };
  return WithStorage as Class;
}
