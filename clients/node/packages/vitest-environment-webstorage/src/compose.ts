import type { Environment as VitestEnvironment } from "vitest/runtime";
import { checkEnvironmentOptions, oneOf, openEnvironment, type Environment, type EnvironmentOptions } from "webstorage-client/environment";

/** The environment that storage is added to. */
export type Base = "node" | "jsdom" | "happy-dom";

/** The `environmentOptions.webstorage` of a Vitest configuration. */
export interface VitestEnvironmentOptions extends EnvironmentOptions {
  /** The environment that storage is added to, for `environment: "webstorage"`; `node` by default. */
  base?: Base;
}

type BuiltIn = Record<Base, VitestEnvironment>;

const OPTIONS_AT = "environmentOptions.webstorage";
const RESET = '"vitest-environment-webstorage/setup" among the setupFiles';
const OWN_OPTIONS = { base: oneOf("node", "jsdom", "happy-dom") };

async function builtIn(base: Base): Promise<VitestEnvironment> {
  const { builtinEnvironments } = (await import("vitest/runtime")) as unknown as { builtinEnvironments: BuiltIn };
  return builtinEnvironments[base];
}

function urlOf(global: object): string | undefined {
  return (global as { location?: { href?: string } }).location?.href;
}

/** A Vitest environment: the base with Web Storage on top. */
export function environmentOn(name: string, viteEnvironment: "ssr" | "client", fixed?: Base): VitestEnvironment {
  /** Wrong options are refused before the base has changed anything. */
  function optionsIn(all: Record<string, unknown>): VitestEnvironmentOptions {
    const options = { ...(all.webstorage as object | undefined), ...(all[name] as object | undefined) };
    checkEnvironmentOptions(OPTIONS_AT, options, OWN_OPTIONS);
    return options;
  }

  /** Opens the storage on a base that is set up. Returns what ends both, also when one of them fails. */
  async function openOn(global: object, options: VitestEnvironmentOptions, tearDownBase: () => unknown): Promise<() => Promise<void>> {
    const { base: _base, ...own } = options;
    let environment: Environment;
    try {
      environment = openEnvironment({ global, url: urlOf(global), optionsAt: OPTIONS_AT, reset: RESET }, own);
    } catch (error) {
      await tearDownBase();
      throw error;
    }
    return async () => {
      try {
        environment.close();
      } finally {
        await tearDownBase();
      }
    };
  }

  return {
    name,
    viteEnvironment,
    async setup(global, all) {
      const options = optionsIn(all);
      const base = await (await builtIn(fixed ?? options.base ?? "node")).setup(global, all);
      return { teardown: await openOn(global as object, options, () => base.teardown(global)) };
    },
    async setupVM(all) {
      const options = optionsIn(all);
      const base = await (await builtIn(fixed ?? options.base ?? "node")).setupVM!(all);
      const teardown = await openOn(base.getVmContext(), options, () => base.teardown());
      return { getVmContext: () => base.getVmContext(), teardown };
    },
  } as VitestEnvironment;
}
