import { TestEnvironment as JsdomEnvironment } from "jest-environment-jsdom";
import { withStorage } from "./with-storage.js";

export type { TestEnvironmentOptions } from "./with-storage.js";
export type { EnvironmentOptions } from "webstorage-client/environment";

/** `testEnvironment: "jest-environment-webstorage/jsdom"`: jsdom with this Web Storage. */
export const TestEnvironment: typeof JsdomEnvironment = withStorage(JsdomEnvironment);
export default TestEnvironment;
