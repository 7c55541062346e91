import { TestEnvironment as NodeEnvironment } from "jest-environment-node";
import { withStorage, type EnvironmentClass } from "./with-storage.js";

/** `testEnvironment: "webstorage"`: Node's globals and Web Storage. */
export const TestEnvironment = withStorage(NodeEnvironment as unknown as EnvironmentClass);
export default TestEnvironment;
