import { TestEnvironment as JsdomEnvironment } from "jest-environment-jsdom";
import { withStorage, type EnvironmentClass } from "./with-storage.js";

/** `testEnvironment: "jest-environment-webstorage/jsdom"`: jsdom with this Web Storage. */
export const TestEnvironment = withStorage(JsdomEnvironment as unknown as EnvironmentClass);
export default TestEnvironment;
