import { TestEnvironment as JsdomEnvironment } from "jest-environment-jsdom";
import { withStorage } from "./with-storage.js";

/** `testEnvironment: "jest-environment-webstorage/jsdom"`: jsdom with this Web Storage. */
export const TestEnvironment: typeof JsdomEnvironment = withStorage(JsdomEnvironment);
export default TestEnvironment;
