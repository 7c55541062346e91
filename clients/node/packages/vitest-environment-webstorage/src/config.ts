// Types alone, for configurations: they give `environmentOptions` of Vitest the options of this package. They are apart
// from the environments, since the types of "vitest/node" bring those of Vite and all that Vitest can work with.
import type {} from "vitest/node";
import type { VitestEnvironmentOptions } from "./compose.js";

export type { VitestEnvironmentOptions } from "./compose.js";

declare module "vitest/node" {
  interface EnvironmentOptions {
    webstorage?: VitestEnvironmentOptions;
    "webstorage/jsdom"?: Omit<VitestEnvironmentOptions, "base">;
    "webstorage/happy-dom"?: Omit<VitestEnvironmentOptions, "base">;
  }
}
