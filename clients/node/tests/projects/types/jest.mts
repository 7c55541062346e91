// Environments of one's own on those of the package.
import type { Config } from "jest";
import WebStorageEnvironment, { TestEnvironment, type EnvironmentOptions, type TestEnvironmentOptions } from "jest-environment-webstorage";
import { currentWebStorage } from "jest-environment-webstorage/current";
import JsdomEnvironment, { type TestEnvironmentOptions as OnJsdomOptions } from "jest-environment-webstorage/jsdom";

export class OnNode extends WebStorageEnvironment {
  override async setup(): Promise<void> {
    await super.setup();
    this.global.ready = true;
  }
}

export class OnJsdom extends JsdomEnvironment {}

const same: typeof TestEnvironment = WebStorageEnvironment;
console.log(same, currentWebStorage().snapshot());
// @ts-expect-error: an environment needs a configuration
console.log(new TestEnvironment());

const options = { webstorage: { quota: 1000, reset: "file" }, customExportConditions: ["node"] } satisfies TestEnvironmentOptions;
const config: Config & { testEnvironmentOptions: TestEnvironmentOptions } = { testEnvironment: "webstorage", testEnvironmentOptions: options };
const ofJsdom: OnJsdomOptions = { url: "http://localhost/", webstorage: { seed: { a: "1" } } };
const alone: EnvironmentOptions = { temporaryDir: true };
console.log(config satisfies Config, ofJsdom, alone);
// @ts-expect-error: there is no such option
const wrong: TestEnvironmentOptions = { webstorage: { quotta: 1000 } };
// @ts-expect-error: there is no such mode
const wrongMode: Config & { testEnvironmentOptions: TestEnvironmentOptions } = { testEnvironmentOptions: { webstorage: { mode: "mirror" } } };
console.log(wrong, wrongMode);
