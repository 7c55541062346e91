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

  function open(global: object, options: VitestEnvironmentOptions): Environment {
    const { base: _base, ...own } = options;
    return openEnvironment({ global, url: urlOf(global), optionsAt: OPTIONS_AT }, own);
  }

  return {
    name,
    viteEnvironment,
    async setup(global, all) {
      const options = optionsIn(all);
      const base = await (await builtIn(fixed ?? options.base ?? "node")).setup(global, all);
      const environment = open(global as object, options);
      return {
        async teardown(global: unknown) {
          environment.close();
          await base.teardown(global as never);
        },
      };
    },
    async setupVM(all) {
      const options = optionsIn(all);
      const base = await (await builtIn(fixed ?? options.base ?? "node")).setupVM!(all);
      const environment = open(base.getVmContext(), options);
      return {
        getVmContext: () => base.getVmContext(),
        async teardown() {
          environment.close();
          await base.teardown();
        },
      };
    },
  } as VitestEnvironment;
}
