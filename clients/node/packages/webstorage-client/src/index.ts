export { createWebStorage, WebStorage, type OpenWindowOptions, type WebStorageOptions } from "./web-storage.js";
export { StorageWindow, type AreaName, type FailOptions } from "./storage-window.js";
export { quotaNumbers, type QuotaNumbers } from "./failure.js";
export { locateServer, platformPackage } from "./locate.js";
export type { InstallOptions } from "./install.js";
export type { Operation } from "./area.js";
export type { Mode } from "./area-host.js";
export type { Entries, Seed, Snapshot, StorageState } from "./state.js";
