// The options in a configuration of Vitest.
import type {} from "vitest-environment-webstorage/config";
import { defineConfig } from "vitest/config";
import type { EnvironmentOptions, UserWorkspaceConfig } from "vitest/node";

export default defineConfig({ test: { environment: "webstorage", environmentOptions: { webstorage: { reset: "file" } } } });

const typed: UserWorkspaceConfig = {
  test: { environment: "webstorage", environmentOptions: { webstorage: { base: "jsdom", quota: 1000, seed: { a: "1" } }, jsdom: { url: "http://localhost/" } } },
};
const onJsdom: EnvironmentOptions = { "webstorage/jsdom": { mode: "direct", reset: "file" } };
console.log(typed, onJsdom);
// @ts-expect-error: there is no such mode
const wrongMode: UserWorkspaceConfig = { test: { environmentOptions: { webstorage: { mode: "mirror" } } } };
// @ts-expect-error: there is no such option
const wrongName: EnvironmentOptions = { webstorage: { quotta: 1000 } };
// @ts-expect-error: the environment names its base already
const wrongBase: EnvironmentOptions = { "webstorage/happy-dom": { base: "jsdom" } };
console.log(wrongMode, wrongName, wrongBase);
