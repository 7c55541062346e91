// For `setupFiles`: Vitest's environments cannot see tests begin, but a hook of a setup file can. With
// `isolate: false` this file runs again for every test file, while the environment stays.
import { beforeEach } from "vitest";
import { resetBeforeFile, resetBeforeTest } from "webstorage-client/environment";

resetBeforeFile();
beforeEach(() => resetBeforeTest());
