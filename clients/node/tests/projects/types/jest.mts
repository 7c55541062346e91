// Environments of one's own on those of the package.
import WebStorageEnvironment, { TestEnvironment } from "jest-environment-webstorage";
import { currentWebStorage } from "jest-environment-webstorage/current";
import JsdomEnvironment from "jest-environment-webstorage/jsdom";

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
