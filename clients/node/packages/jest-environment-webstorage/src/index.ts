import { TestEnvironment as NodeEnvironment } from "jest-environment-node";
import { withStorage } from "./with-storage.js";

export type { TestEnvironmentOptions } from "./with-storage.js";
export type { EnvironmentOptions } from "webstorage-client/environment";

/** `testEnvironment: "webstorage"`: Node's globals and Web Storage. */
export const TestEnvironment: typeof NodeEnvironment = withStorage(NodeEnvironment);
export default TestEnvironment;
