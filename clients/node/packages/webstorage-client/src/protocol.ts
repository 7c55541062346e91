// Generated from schema/openrpc.json by `cargo test`, which also finds out when it is out of date. Do not edit.

/** The version of the protocol: clients work with every later one of the same major version. */
export const protocolVersion = "1.0.0";

/** A number of bytes, as quotas have: an integer from 0 to 2^53 - 1. */
export type ByteCount = number;

/** Result of `storage/open`. */
export interface Opened {
  /** The handle that the other methods take. */
  storage: number;
  /** Whether the area is persistent. */
  persistent: boolean;
  /** The origin as the URL standard serialises it. */
  origin: string;
  /** The number of items. */
  length: number;
  /** Bytes in use. */
  usage: number;
  /** The quota in bytes. */
  quota: number;
}

/** Any sequence of 16-bit units; a lone surrogate is written as its escape, such as "\ud800". */
export type DOMString = string;

/** An index: WebIDL's `unsigned long`, already converted by the client. */
export type UnsignedLong = number;

/** A number of items: an integer from 0 to 2^53 - 1. */
export type Count = number;

/** An item. Keys are never names of JSON members, because some hosts cannot hold every string there. */
export interface Item {
  /** The key. */
  key: DOMString;
  /** The value. */
  value: DOMString;
}

/** What a key holds, or is to hold: a value, or null if there is no such item. */
export interface Held {
  /** The key. */
  key: DOMString;
  /** The value, or null for no item. */
  value: DOMString | null;
}

/** Result of `storage/subscribe`. */
export interface Subscribed {
  /** The id of the subscription. */
  subscription: number;
  /** The number of the area's newest change. Events come for every change after it. */
  sequence: number;
  /** Whether changes between `since` and `sequence` are not known any more. They are not sent then: read the area again. */
  gap: boolean;
  /** All items in key order, as they are at `sequence`: applying the events to them gives the area at every later moment. Absent unless asked for. */
  items?: Item[] | null;
  /** The quota in bytes. Absent unless asked for. */
  quota?: number | null;
  /** The number of other processes that listen to the area; 0 for a session area. Absent unless asked for. */
  others?: number | null;
}

/** Result of `storage/snapshot`. */
export interface Snapshotted {
  /** What `storage/restore` takes. Valid on this connection until `storage/discard`. */
  snapshot: number;
  /** The number of items. */
  length: number;
}

/** Result of `storage/estimate`. */
export interface Estimate {
  /** Bytes in use, two for each UTF-16 unit of keys and values. */
  usage: number;
  /** The quota in bytes. */
  quota: number;
  /** The number of items. */
  length: number;
  /** The size of the files of a persistent area, in bytes. */
  size?: number | null;
}

/** One item in the result of `storage/largest`. */
export interface KeySize {
  /** The key. */
  key: DOMString;
  /** What the item counts in the usage: two bytes for each UTF-16 unit of its key and value. */
  usage: number;
}

/** One bottle in the result of `storage/origins`. */
export interface OriginInfo {
  /** The origin; null if the file cannot be read. */
  origin?: string | null;
  /** The number of items. */
  length?: number | null;
  /** Bytes in use, two for each UTF-16 unit of keys and values. */
  usage?: number | null;
  /** The quota in bytes. */
  quota?: number | null;
  /** When the bottle was last changed, in milliseconds since 1970. */
  changed: number;
  /** The size of its files, in bytes. */
  size: number;
  /** Its database file. */
  path: string;
  /** Why the file cannot be read. */
  problem?: string | null;
}

/** Result of `storage/check`. */
export interface Checked {
  /** The origin, serialised. */
  origin: string;
  /** The database file. */
  path: string;
  /** Whether there is one. */
  exists: boolean;
  /** What is wrong with it; empty if nothing is. */
  problems: string[];
  /** Files of this origin that were found damaged before and moved aside, oldest first. */
  damaged: Damaged[];
}

/** A file that was found damaged and moved aside. */
export interface Damaged {
  /** What `storage/salvage` takes. */
  file: string;
  /** Where it is. */
  path: string;
  /** Its size in bytes. */
  size: number;
}

/** Result of `storage/salvage`. */
export interface SalvageResult {
  /** Whether these are all items that the file has had. */
  complete: boolean;
  /** The items, in key order. */
  items: Item[];
}

/** The form of a state. */
export type StateFormat = "storageState" | "flat" | "pairs";

/** Result of `storage/export`. */
export interface Exported {
  /** The state, unless it was written to a file. */
  state?: unknown;
  /** The file it was written to. */
  path?: string | null;
  /** The number of areas. */
  areas: number;
  /** The number of items. */
  items: number;
  /** The origins whose persistent areas are damaged, so that the state has only those of their items that could be read. */
  unreadable?: Unreadable[];
}

/** What an export could not read of one persistent area. */
export interface Unreadable {
  /** The origin. */
  origin: string;
  /** What is damaged, and where its file is now. */
  problem: string;
  /** The number of items that are missing, as far as it is known. */
  items?: number | null;
  /** Keys of missing items that can be read, not more than 100. */
  keys: DOMString[];
}

/** What becomes of the items that an area has before an import. */
export type ImportInto = "merge" | "replace";

/** Result of `storage/import`. */
export interface ImportResult {
  /** Whether nothing was changed. */
  dryRun: boolean;
  /** The areas in the order of the state. Each is changed as a whole or not at all; after a failure those before it stay changed. */
  areas: ImportedArea[];
  /** The parts of the state that are not about Web Storage and were left alone. */
  ignored: string[];
}

/** What an import has changed in one area. */
export interface ImportedArea {
  /** The origin. */
  origin: string;
  /** Whether the area is persistent. */
  persistent: boolean;
  /** Items whose keys were not there. */
  added: number;
  /** Items that had another value. */
  changed: number;
  /** Items that were there as they are. */
  unchanged: number;
  /** Items that were there and no longer are. */
  removed: number;
  /** The number of items after. */
  length: number;
  /** Bytes in use after. */
  usage: number;
}

/** How far a call is. */
export interface ProgressValue {
  /** `begin`, `report` or `end`. */
  kind: string;
  /** What is under way, when it begins. */
  title?: string | null;
  /** What was done last. */
  message: string;
  /** How much of the area at hand is done. */
  percentage?: number | null;
}

/** The errors that calls can be made to fail with. */
export type SimulatedError = "QuotaExceededError" | "SecurityError" | "ConstraintError" | "NotFoundError" | "NotSupportedError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption";

/** Result of `test/calls`. */
export interface CallLog {
  /** The calls of this connection, oldest first, without those of `test/` methods. */
  calls: Call[];
  /** How many more came before those and were forgotten. */
  dropped: number;
}

/** A call in the result of `test/calls`. */
export interface Call {
  /** The method by its full name. */
  method: string;
  /** The params as they came. */
  params?: unknown;
  /** The error that `test/fail` made of it. */
  failed?: SimulatedError | null;
}

/** `initializationOptions` of `initialize`. */
export interface InitializationOptions {
  /** The storage directory, an absolute path, instead of the one the server was started with. */
  storageDir?: string | null;
  /** The default origin. */
  origin?: string | null;
  /** The quota of new areas, in bytes. */
  quota?: ByteCount | null;
  /** What is written for lone surrogates. */
  illFormedStrings?: IllFormedStrings | null;
}

/** What is written for lone surrogates in strings. */
export type IllFormedStrings = "escape" | "replace";

/** Result of `initialize`. */
export interface Initialized {
  /** What the server can do. */
  capabilities: Capabilities;
  /** Which server it is. */
  serverInfo: ServerInfo;
}

/** `capabilities` of the result of `initialize`. */
export interface Capabilities {
  /** The commands of `workspace/executeCommand`. */
  executeCommandProvider: ExecuteCommandProvider;
  /** What is not part of LSP. */
  experimental: Experimental;
}

/** The commands of `workspace/executeCommand`. */
export interface ExecuteCommandProvider {
  /** Their names: every storage method with `webstorage.` for `storage/`. */
  commands: string[];
}

/** `capabilities.experimental`. */
export interface Experimental {
  /** What a host needs to know about the storage. */
  webStorage: WebStorage;
}

/** `capabilities.experimental.webStorage`: what a host would otherwise have to probe for. */
export interface WebStorage {
  /** The version of this protocol. */
  protocolVersion: string;
  /** Whether persistent areas can be opened. */
  persistent: boolean;
  /** Why they cannot. */
  persistentUnavailable?: string;
  /** The storage directory. */
  storageDir?: string;
  /** The default origin. */
  origin: string;
  /** The quota of new areas, in bytes. */
  quota: number;
  /** The largest accepted message, in bytes. */
  maxMessageSize: number;
  /** The largest reply to a batch, in bytes: further calls in the batch are refused. */
  maxBatchReplySize: number;
  /** For how long a call waits while another process writes the same area, in milliseconds. */
  busyTimeout: number;
  /** The messages that a client can send. */
  methods: string[];
  /** The messages that the server can send of its own accord, each only after it was asked for. */
  notifications: string[];
}

/** Name and version of the program. */
export interface ServerInfo {
  /** `webstorage-server`. */
  name: string;
  /** The version of the program. */
  version: string;
}

/** The id of a call. */
export type Id = string | number | null;

/** How much a client wants to be told of what the server does. */
export type TraceValue = "off" | "messages" | "verbose";

/** A document as the OpenRPC specification 1.3 describes it. */
export type OpenrpcDocument = Record<string, unknown>;

/** The names of the errors: JSON-RPC's and LSP's own, those of `DOMException`, and `DataCorruption`. */
export type ErrorName = "ParseError" | "InvalidRequest" | "MethodNotFound" | "InvalidParams" | "InternalError" | "RequestCancelled" | "QuotaExceededError" | "SecurityError" | "ConstraintError" | "NotFoundError" | "NotSupportedError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption";

export interface ParseErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "ParseError";
}

export interface InvalidRequestData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "InvalidRequest";
}

export interface MethodNotFoundData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "MethodNotFound";
}

export interface InvalidParamsData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "InvalidParams";
  /** The param that is to blame (code -32602). */
  param?: string;
}

export interface InternalErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "InternalError";
}

export interface RequestCancelledData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "RequestCancelled";
}

export interface NotFoundErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "NotFoundError";
}

export interface NotSupportedErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "NotSupportedError";
}

export interface InvalidStateErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "InvalidStateError";
}

export interface SecurityErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "SecurityError";
}

export interface QuotaExceededErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "QuotaExceededError";
  /** The quota of the bottle, in bytes (`QuotaExceededError`). */
  quota: number;
  /** What the usage would have been after the write, in bytes (`QuotaExceededError`). */
  requested: number;
  /** The usage, in bytes (`QuotaExceededError`). */
  usage: number;
}

export interface TimeoutErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "TimeoutError";
}

export interface UnknownErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "UnknownError";
  /** SQLite's extended result code (`UnknownError`). */
  sqliteCode?: number;
}

export interface DataCorruptionData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "DataCorruption";
  /** The damaged file (`DataCorruption`). */
  path: string;
  /** Where the damaged file was moved to (`DataCorruption`). */
  movedTo?: string;
}

export interface ConstraintErrorData {
  /** The name of the error; that of a storage error is the name of the exception that a client should throw. */
  name: "ConstraintError";
  /** The keys that do not hold what the transaction's conditions say, and what they hold (`ConstraintError`). */
  unmet: Held[];
}

/** Params of `storage/open`. */
export interface OpenParams {
  /** Whether the area is persistent (a file, shared by all processes: `localStorage`) or lives in the memory of this connection (`sessionStorage`). */
  persistent: boolean;
  /** The origin whose area it is; the server's default origin if left out. */
  origin?: string | null;
  /** The new quota of the area in bytes, two for each UTF-16 unit of keys and values. If left out it stays as it is. */
  quota?: ByteCount | null;
  /** The URL of the document that opens the area, for the `url` of its storage events. */
  url?: string | null;
  /** A handle on any area, of which the new one is a copy as it is now. For session areas only: the copy is an area of its own, to which no other handle leads and which ends when this one is closed. Origin and quota are those of the original unless given. */
  copyOf?: number | null;
}

/** The same by position. */
export type OpenParamsByPosition = [persistent: boolean, origin?: string | null, quota?: ByteCount | null, url?: string | null, copyOf?: number | null];

/** Params of `storage/close`. */
export interface CloseParams {
  /** The handle. */
  storage: number;
}

/** The same by position. */
export type CloseParamsByPosition = [storage: number];

/** Params of `storage/getItem`. */
export interface GetItemParams {
  /** The handle. */
  storage: number;
  /** The key. */
  key: DOMString;
}

/** The same by position. */
export type GetItemParamsByPosition = [storage: number, key: DOMString];

/** Params of `storage/setItem`. */
export interface SetItemParams {
  /** The handle. */
  storage: number;
  /** The key. */
  key: DOMString;
  /** The new value. */
  value: DOMString;
}

/** The same by position. */
export type SetItemParamsByPosition = [storage: number, key: DOMString, value: DOMString];

/** Params of `storage/removeItem`. */
export interface RemoveItemParams {
  /** The handle. */
  storage: number;
  /** The key. */
  key: DOMString;
}

/** The same by position. */
export type RemoveItemParamsByPosition = [storage: number, key: DOMString];

/** Params of `storage/clear`. */
export interface ClearParams {
  /** The handle. */
  storage: number;
}

/** The same by position. */
export type ClearParamsByPosition = [storage: number];

/** Params of `storage/key`. */
export interface KeyParams {
  /** The handle. */
  storage: number;
  /** The place in key order, counted from 0. */
  index: UnsignedLong;
}

/** The same by position. */
export type KeyParamsByPosition = [storage: number, index: UnsignedLong];

/** Params of `storage/length`. */
export interface LengthParams {
  /** The handle. */
  storage: number;
}

/** The same by position. */
export type LengthParamsByPosition = [storage: number];

/** Params of `storage/keys`. */
export interface KeysParams {
  /** The handle. */
  storage: number;
  /** The last key of the page before; the first page if left out. */
  after?: DOMString | null;
  /** The most that are returned; all if left out. */
  limit?: Count | null;
}

/** The same by position. */
export type KeysParamsByPosition = [storage: number, after?: DOMString | null, limit?: Count | null];

/** Params of `storage/entries`. */
export interface EntriesParams {
  /** The handle. */
  storage: number;
  /** The last key of the page before; the first page if left out. */
  after?: DOMString | null;
  /** The most that are returned; all if left out. */
  limit?: Count | null;
}

/** The same by position. */
export type EntriesParamsByPosition = [storage: number, after?: DOMString | null, limit?: Count | null];

/** Params of `storage/getItems`. */
export interface GetItemsParams {
  /** The handle. */
  storage: number;
  /** The keys. */
  keys: DOMString[];
}

/** The same by position. */
export type GetItemsParamsByPosition = [storage: number, keys: DOMString[]];

/** Params of `storage/transact`. */
export interface TransactParams {
  /** The handle. */
  storage: number;
  /** What must be true of the items before; otherwise nothing is changed and the call fails with a `ConstraintError` that says what the keys hold. */
  if?: Held[];
  /** The items to set, after everything else and in this order. */
  set?: Item[];
  /** The keys to remove, before any item is set. A key that has no item is no error. */
  remove?: DOMString[];
  /** Whether all items are removed first. */
  clear?: boolean;
}

/** The same by position. */
export type TransactParamsByPosition = [storage: number, conditions?: Held[], set?: Item[], remove?: DOMString[], clear?: boolean];

/** Params of `storage/subscribe`. */
export interface SubscribeParams {
  /** The handle that is to hear of the changes that other handles on its area make. */
  storage: number;
  /** Only changes of these keys, and of all keys at once. */
  keys?: DOMString[] | null;
  /** Only changes of keys that begin so, and of all keys at once. */
  prefix?: DOMString | null;
  /** Whether the events carry the values; true if left out. */
  values?: boolean | null;
  /** The sequence of the last change the client knows: those after it are sent too, if they are still known. */
  since?: Count | null;
  /** Whether the changes that this handle makes are sent too; false if left out. */
  includeSelf?: boolean | null;
  /** Whether the result has all items, as they are at the moment from which on events come; false if left out. */
  items?: boolean | null;
  /** Whether the result has the quota and the number of other processes that listen, and `storage/quota` tells of their changes; false if left out. */
  quota?: boolean | null;
}

/** The same by position. */
export type SubscribeParamsByPosition = [storage: number, keys?: DOMString[] | null, prefix?: DOMString | null, values?: boolean | null, since?: Count | null, includeSelf?: boolean | null, items?: boolean | null, quota?: boolean | null];

/** Params of `storage/unsubscribe`. */
export interface UnsubscribeParams {
  /** The id of the subscription. */
  subscription: number;
}

/** The same by position. */
export type UnsubscribeParamsByPosition = [subscription: number];

/** Params of `storage/event`. */
export interface StorageEventParams {
  /** The id of the subscription. */
  subscription: number;
  /** The handle that listens. */
  storage: number;
  /** The number of the change. Each change of an area has the next one. */
  sequence: number;
  /** The key, or null if all items were removed at once. */
  key: DOMString | null;
  /** The value before, or null if there was none. Absent if the subscription is without values. */
  oldValue?: DOMString | null;
  /** The value now, or null if there is none. Absent if the subscription is without values. */
  newValue?: DOMString | null;
  /** The URL of the document that made the change. */
  url: string;
}

/** Params of `storage/quota`. */
export interface StorageQuotaParams {
  /** The id of the subscription. */
  subscription: number;
  /** The handle that listens. */
  storage: number;
  /** The number of the newest change when that was so. */
  sequence: number;
  /** The quota in bytes. */
  quota: number;
  /** The number of other processes that listen to the area. One that was killed counts until that is noticed. */
  others: number;
}

/** Params of `storage/overflow`. */
export interface StorageOverflowParams {
  /** The id of the subscription. It goes on: events after `sequence` are sent again. */
  subscription: number;
  /** The handle that listens. */
  storage: number;
  /** The number of the newest change that was dropped. Read the area again to have all up to it. */
  sequence: number;
}

/** Params of `storage/snapshot`. */
export interface SnapshotParams {
  /** The handle. */
  storage: number;
}

/** The same by position. */
export type SnapshotParamsByPosition = [storage: number];

/** Params of `storage/restore`. */
export interface RestoreParams {
  /** The handle. */
  storage: number;
  /** The snapshot, of this or any other area. */
  snapshot: number;
}

/** The same by position. */
export type RestoreParamsByPosition = [storage: number, snapshot: number];

/** Params of `storage/discard`. */
export interface DiscardParams {
  /** The snapshot. */
  snapshot: number;
}

/** The same by position. */
export type DiscardParamsByPosition = [snapshot: number];

/** Params of `storage/estimate`. */
export interface EstimateParams {
  /** The handle. */
  storage: number;
}

/** The same by position. */
export type EstimateParamsByPosition = [storage: number];

/** Params of `storage/largest`. */
export interface LargestParams {
  /** The handle. */
  storage: number;
  /** The most that are returned; 10 if left out. */
  limit?: Count | null;
}

/** The same by position. */
export type LargestParamsByPosition = [storage: number, limit?: Count | null];

/** Params of `storage/flush`. */
export interface FlushParams {
  /** The handle; every open persistent area of this connection if left out. */
  storage?: number | null;
}

/** The same by position. */
export type FlushParamsByPosition = [storage?: number | null];

/** Params of `storage/delete`. */
export interface DeleteParams {
  /** The origin. */
  origin: string;
}

/** The same by position. */
export type DeleteParamsByPosition = [origin: string];

/** Params of `storage/check`. */
export interface CheckParams {
  /** The origin. */
  origin: string;
}

/** The same by position. */
export type CheckParamsByPosition = [origin: string];

/** Params of `storage/salvage`. */
export interface SalvageParams {
  /** The damaged file, as `storage/check` names it. */
  file: string;
}

/** The same by position. */
export type SalvageParamsByPosition = [file: string];

/** Params of `storage/export`. */
export interface ExportParams {
  /** The origins whose persistent areas, and session areas of this connection, are exported; all if neither these nor handles are given. */
  origins?: string[] | null;
  /** Handles whose areas are exported. */
  storages?: number[] | null;
  /** The form; `storageState` if left out. The others hold one area, so exactly one origin or handle is needed. */
  format?: StateFormat | null;
  /** A storageState whose other parts, such as cookies, are kept. */
  base?: unknown;
  /** The file to write to, an absolute path, instead of returning the state. It is readable by its owner only afterwards, also if others could read what was there before. Where a storageState is written over one, its other parts are kept, and the entries of the exported origins are replaced in whatever spelling they are there. The other forms replace the whole file. A database and the files of a storage directory are not replaced. */
  path?: string | null;
  /** The token of LSP's `$/progress` notifications. */
  workDoneToken?: unknown;
}

/** The same by position. */
export type ExportParamsByPosition = [origins?: string[] | null, storages?: number[] | null, format?: StateFormat | null, base?: unknown, path?: string | null, workDoneToken?: unknown];

/** Params of `storage/import`. */
export interface ImportParams {
  /** The state, in any of the forms. Entries of one origin, in whatever spelling, count as one entry with the items of all. One key with two values in an area is refused, and so is all that is not as expected; nothing is imported then. */
  state?: unknown;
  /** Or a file, an absolute path: a state, the file of Node's `--localstorage-file`, or Deno's `local_storage`. The items of these come in the order in which the program's own `key(n)` gives them; a database that is not exactly as the program makes it is refused. A state must be JSON in UTF-8, and may begin with a byte order mark, which is no part of it. The files of a storage directory are refused. */
  path?: string | null;
  /** The form; found out if left out. */
  format?: StateFormat | null;
  /** What becomes of the items that are there; `merge` if left out. */
  mode?: ImportInto;
  /** Whether nothing is changed, but what would be is told. */
  dryRun?: boolean;
  /** For forms that name no origin: the origin whose persistent area gets the items, the default origin if left out. */
  origin?: string | null;
  /** For forms that name no origin: a handle on the area that gets the items. */
  storage?: number | null;
  /** The token of LSP's `$/progress` notifications. */
  workDoneToken?: unknown;
}

/** The same by position. */
export type ImportParamsByPosition = [state?: unknown, path?: string | null, format?: StateFormat | null, mode?: ImportInto, dryRun?: boolean, origin?: string | null, storage?: number | null, workDoneToken?: unknown];

/** Params of `$/progress`. */
export interface ProgressParams {
  /** The token that the call was given. */
  token: unknown;
  /** How far the call is. */
  value: ProgressValue;
}

/** Params of `test/fail`. */
export interface FailParams {
  /** The error that the calls get. */
  error: SimulatedError;
  /** Only calls of this method, by its full name such as `storage/setItem`. */
  method?: string | null;
  /** Only calls whose param `key` is like this, in which `*` stands for any characters. Methods with several keys have no such param. */
  key?: DOMString | null;
  /** How many calls fail; 1 if left out, null for all. */
  count?: Count | null;
  /** How many such calls succeed before; 0 if left out. */
  skip?: Count | null;
}

/** The same by position. */
export type FailParamsByPosition = [error: SimulatedError, method?: string | null, key?: DOMString | null, count?: Count | null, skip?: Count | null];

/** Params of `test/delay`. */
export interface DelayParams {
  /** For how long the server waits before it handles the call, and everything after it, in milliseconds. The call can be cancelled meanwhile. */
  milliseconds: Count;
  /** Only calls of this method, by its full name such as `storage/setItem`. */
  method?: string | null;
  /** Only calls whose param `key` is like this, in which `*` stands for any characters. Methods with several keys have no such param. */
  key?: DOMString | null;
  /** How many calls wait; 1 if left out, null for all. */
  count?: Count | null;
  /** How many such calls do not wait before; 0 if left out. */
  skip?: Count | null;
}

/** The same by position. */
export type DelayParamsByPosition = [milliseconds: Count, method?: string | null, key?: DOMString | null, count?: Count | null, skip?: Count | null];

/** Params of `test/setQuota`. */
export interface SetQuotaParams {
  /** The handle. */
  storage: number;
  /** The quota in bytes until `test/reset`. What is there already stays. */
  quota: ByteCount;
}

/** The same by position. */
export type SetQuotaParamsByPosition = [storage: number, quota: ByteCount];

/** Params of `test/denyPersistence`. */
export interface DenyPersistenceParams {
  /** The reason that the error tells. */
  reason?: string | null;
}

/** The same by position. */
export type DenyPersistenceParamsByPosition = [reason?: string | null];

/** Params of `test/dispatchEvent`. */
export interface DispatchEventParams {
  /** A handle on the area whose listeners on this connection get the event. */
  storage: number;
  /** The key; null for the removal of all items. */
  key?: DOMString | null;
  /** The value before. */
  oldValue?: DOMString | null;
  /** The value after. */
  newValue?: DOMString | null;
  /** The URL of the document that is said to have made the change. */
  url?: string | null;
}

/** The same by position. */
export type DispatchEventParamsByPosition = [storage: number, key?: DOMString | null, oldValue?: DOMString | null, newValue?: DOMString | null, url?: string | null];

/** Params of `test/calls`. */
export interface CallsParams {
  /** Whether the log begins anew; false if left out. */
  clear?: boolean;
}

/** The same by position. */
export type CallsParamsByPosition = [clear?: boolean];

/** Params of `initialize`. */
export interface InitializeParams {
  /** The process that started the server. The server ends when that has. */
  processId?: number | null;
  /** The options of this server. */
  initializationOptions?: InitializationOptions | null;
}

/** Params of `workspace/executeCommand`. */
export interface ExecuteCommandParams {
  /** The command: `webstorage.getItem` for `storage/getItem`. */
  command: string;
  /** The params of the method: one object, or its positional params. */
  arguments?: unknown[] | null;
}

/** Params of `$/cancelRequest`. */
export interface CancelRequestParams {
  /** The id of the call. */
  id: Id;
}

/** Params of `$/setTrace`. */
export interface SetTraceParams {
  /** How much the client wants to be told. */
  value: TraceValue;
}

/** The methods: what a client can call. */
export interface Methods {
  /** Opens an area and gives a handle on it. Opening the same area twice gives two handles on one area. */
  "storage/open": {
    params: OpenParams;
    paramsByPosition: OpenParamsByPosition;
    result: Opened;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "SecurityError" | "NotSupportedError" | "InvalidStateError" | "QuotaExceededError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "RequestCancelled";
  };
  /** Closes a handle. The items stay: those of a session area until the connection ends. */
  "storage/close": {
    params: CloseParams;
    paramsByPosition: CloseParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** The value of a key, or null if the area has no such item. */
  "storage/getItem": {
    params: GetItemParams;
    paramsByPosition: GetItemParamsByPosition;
    result: DOMString | null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  getItem: Methods["storage/getItem"];
  /** Sets the value of a key. An item that exists keeps its place in key order. */
  "storage/setItem": {
    params: SetItemParams;
    paramsByPosition: SetItemParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "QuotaExceededError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  setItem: Methods["storage/setItem"];
  /** Removes an item, if there is one. */
  "storage/removeItem": {
    params: RemoveItemParams;
    paramsByPosition: RemoveItemParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  removeItem: Methods["storage/removeItem"];
  /** Removes all items of the area. */
  "storage/clear": {
    params: ClearParams;
    paramsByPosition: ClearParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  clear: Methods["storage/clear"];
  /** The key at a place in key order, or null past the end. */
  "storage/key": {
    params: KeyParams;
    paramsByPosition: KeyParamsByPosition;
    result: DOMString | null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  key: Methods["storage/key"];
  /** The number of items. */
  "storage/length": {
    params: LengthParams;
    paramsByPosition: LengthParamsByPosition;
    result: number;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  length: Methods["storage/length"];
  /** The keys, in key order, all at once or page by page. */
  "storage/keys": {
    params: KeysParams;
    paramsByPosition: KeysParamsByPosition;
    result: DOMString[];
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "NotFoundError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** The items, in key order, all at once or page by page. Each page shows one moment's state; an item that is there from the first page to the last is on exactly one of them, whatever others write between the pages; only if they remove the key at which a page ended and set it again is what lies between passed over. */
  "storage/entries": {
    params: EntriesParams;
    paramsByPosition: EntriesParamsByPosition;
    result: Item[];
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "NotFoundError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** The values of several keys at one moment, in the order of the keys; null for those that have no item. */
  "storage/getItems": {
    params: GetItemsParams;
    paramsByPosition: GetItemsParamsByPosition;
    result: (DOMString | null)[];
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Checks conditions and makes several changes, all of them or none: first clear, then remove, then set. The quota concerns the outcome only. */
  "storage/transact": {
    params: TransactParams;
    paramsByPosition: TransactParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "ConstraintError" | "QuotaExceededError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Sends an event for each change that other handles make to the area: for a persistent area those of every process. Changes come in order, each once, after they are stored. */
  "storage/subscribe": {
    params: SubscribeParams;
    paramsByPosition: SubscribeParamsByPosition;
    result: Subscribed;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Ends a subscription. */
  "storage/unsubscribe": {
    params: UnsubscribeParams;
    paramsByPosition: UnsubscribeParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotFoundError";
  };
  /** Keeps the items of an area as they are now, in the memory of this connection. */
  "storage/snapshot": {
    params: SnapshotParams;
    paramsByPosition: SnapshotParamsByPosition;
    result: Snapshotted;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Makes the items of an area those of a snapshot again, in the same order. Only what differs is written; each item that is removed, changed or added is one event. */
  "storage/restore": {
    params: RestoreParams;
    paramsByPosition: RestoreParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "NotFoundError" | "QuotaExceededError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Gives up a snapshot. */
  "storage/discard": {
    params: DiscardParams;
    paramsByPosition: DiscardParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotFoundError";
  };
  /** How much an area holds and may hold. */
  "storage/estimate": {
    params: EstimateParams;
    paramsByPosition: EstimateParamsByPosition;
    result: Estimate;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** The items that take the most of the quota, the largest first. */
  "storage/largest": {
    params: LargestParams;
    paramsByPosition: LargestParamsByPosition;
    result: KeySize[];
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Makes everything that was acknowledged safe from a loss of power. Returns when the disk has it. */
  "storage/flush": {
    params: FlushParams;
    paramsByPosition: FlushParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** The origins that have persistent storage, in alphabetical order. */
  "storage/origins": {
    params: Record<string, never> | undefined;
    result: OriginInfo[];
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError" | "UnknownError";
  };
  /** Deletes the persistent storage of an origin; false if there was none. Whoever has it open sees an empty area, and an event. */
  "storage/delete": {
    params: DeleteParams;
    paramsByPosition: DeleteParamsByPosition;
    result: boolean;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "SecurityError" | "NotSupportedError" | "InvalidStateError" | "QuotaExceededError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "RequestCancelled";
  };
  /** Looks for damage in the persistent storage of an origin, and lists what was found damaged before and moved aside. Changes nothing. */
  "storage/check": {
    params: CheckParams;
    paramsByPosition: CheckParamsByPosition;
    result: Checked;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "SecurityError" | "NotSupportedError" | "InvalidStateError" | "QuotaExceededError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "RequestCancelled";
  };
  /** Reads what is readable out of a damaged file that was moved aside. Changes nothing. */
  "storage/salvage": {
    params: SalvageParams;
    paramsByPosition: SalvageParamsByPosition;
    result: SalvageResult;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError" | "NotFoundError" | "UnknownError";
  };
  /** Writes the items of whole areas as Playwright's storageState with sessionStorage, as a flat object, or as pairs. Each area is as it was at one moment. */
  "storage/export": {
    params: ExportParams;
    paramsByPosition: ExportParamsByPosition;
    result: Exported;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Reads the items of whole areas from a state or from the files of Node and Deno. Each area gets all of its items or none. */
  "storage/import": {
    params: ImportParams;
    paramsByPosition: ImportParamsByPosition;
    result: ImportResult;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "InvalidStateError" | "NotFoundError" | "QuotaExceededError" | "SecurityError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "NotSupportedError" | "RequestCancelled";
  };
  /** Makes the next calls fail. Like every test/ method only with --enable-test-methods. */
  "test/fail": {
    params: FailParams;
    paramsByPosition: FailParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError";
  };
  /** Makes the next calls wait. */
  "test/delay": {
    params: DelayParams;
    paramsByPosition: DelayParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError";
  };
  /** Sets the quota of an area until test/reset, or until the handle or the connection ends. */
  "test/setQuota": {
    params: SetQuotaParams;
    paramsByPosition: SetQuotaParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "RequestCancelled";
  };
  /** Makes opening persistent areas fail until test/reset, as if the server had no storage directory. */
  "test/denyPersistence": {
    params: DenyPersistenceParams;
    paramsByPosition: DenyPersistenceParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError";
  };
  /** Sends the listeners of this connection an event as if another document had made a change. */
  "test/dispatchEvent": {
    params: DispatchEventParams;
    paramsByPosition: DispatchEventParamsByPosition;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "RequestCancelled";
  };
  /** Makes this connection as new, except that handles and subscriptions stay: session areas are emptied; snapshots, rules and the log of calls are gone; quotas and persistence are as they were. Persistent areas keep their items. */
  "test/reset": {
    params: Record<string, never> | undefined;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError" | "InvalidStateError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "RequestCancelled";
  };
  /** The storage calls that were made on this connection so far. */
  "test/calls": {
    params: CallsParams;
    paramsByPosition: CallsParamsByPosition;
    result: CallLog;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotSupportedError";
  };
  /** LSP's initialize: tells what the server can do, and takes options. Optional; the first message if it is used. */
  "initialize": {
    params: InitializeParams;
    result: Initialized;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError";
  };
  /** LSP's shutdown: everything is committed; only exit may follow. */
  "shutdown": {
    params: Record<string, never> | undefined;
    result: null;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError";
  };
  /** LSP's executeCommand: calls a method under its name as a command, for hosts that can send nothing else. The result and the errors are the method's. */
  "workspace/executeCommand": {
    params: ExecuteCommandParams;
    result: unknown;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError" | "NotFoundError" | "NotSupportedError" | "InvalidStateError" | "SecurityError" | "QuotaExceededError" | "TimeoutError" | "UnknownError" | "DataCorruption" | "ConstraintError" | "RequestCancelled";
  };
  /** OpenRPC's discovery: this document. */
  "rpc.discover": {
    params: Record<string, never> | undefined;
    result: OpenrpcDocument;
    errors: "InvalidRequest" | "InvalidParams" | "InternalError";
  };
}

/** What a client can send without getting a reply. */
export interface ClientNotifications {
  /** LSP's initialized. */
  "initialized": {
    params: Record<string, never> | undefined;
  };
  /** LSP's exit: ends the process, with exit code 0 after shutdown and 1 without. A script can close the input instead. */
  "exit": {
    params: Record<string, never> | undefined;
  };
  /** LSP's cancellation. A call that waits for another process, or for such a call before it, is answered with the error -32800 and has no effect; one that was answered already is not affected. */
  "$/cancelRequest": {
    params: CancelRequestParams;
  };
  /** LSP's setTrace. Accepted; this server sends no traces. */
  "$/setTrace": {
    params: SetTraceParams;
  };
}

/** What the server sends, after it was asked for. */
export interface ServerNotifications {
  /** The area of a subscription has changed: the HTML standard's storage event. */
  "storage/event": {
    params: StorageEventParams;
  };
  /** The quota of the persistent area of a subscription has changed, or the number of other processes that listen to it. Sent to subscriptions that ask for it. */
  "storage/quota": {
    params: StorageQuotaParams;
  };
  /** Events of a subscription were dropped: more than 1 MiB waited, and more than 1 MiB of them, the largest aside, had come since the client last read 64 KiB; or 16 MiB waited. Other reasons: the file of the area was replaced, or the process was stopped for longer than the journal lasts. */
  "storage/overflow": {
    params: StorageOverflowParams;
  };
  /** LSP's progress of a call that was given a workDoneToken. */
  "$/progress": {
    params: ProgressParams;
  };
}

/** The code of each error. */
export const errorCodes = {
  /** The bytes are no frame, or the frame is not JSON. */
  ParseError: -32700,
  /** The JSON is no request, or a request that is not allowed now. */
  InvalidRequest: -32600,
  /** There is no method of this name. */
  MethodNotFound: -32601,
  /** A param is missing, unknown, of the wrong type, or out of range. */
  InvalidParams: -32602,
  /** A fault of the server. */
  InternalError: -32603,
  /** The client has cancelled the call before it took effect. */
  RequestCancelled: -32800,
  /** What the call names does not exist. */
  NotFoundError: 8,
  /** Not available in this server as it was started. */
  NotSupportedError: 9,
  /** The handle is unknown or closed. */
  InvalidStateError: 11,
  /** An opaque origin has no persistent storage. */
  SecurityError: 18,
  /** The write does not fit. Nothing was changed. */
  QuotaExceededError: 22,
  /** Another process kept the storage locked for too long. Nothing was changed. */
  TimeoutError: 23,
  /** The operating system or SQLite failed. */
  UnknownError: 100,
  /** The file of the area is damaged. */
  DataCorruption: 101,
  /** A condition of a transaction is not met. Nothing was changed. */
  ConstraintError: 102,
} as const;

/** The `data` of each error. */
export interface ErrorData {
  ParseError: ParseErrorData;
  InvalidRequest: InvalidRequestData;
  MethodNotFound: MethodNotFoundData;
  InvalidParams: InvalidParamsData;
  InternalError: InternalErrorData;
  RequestCancelled: RequestCancelledData;
  NotFoundError: NotFoundErrorData;
  NotSupportedError: NotSupportedErrorData;
  InvalidStateError: InvalidStateErrorData;
  SecurityError: SecurityErrorData;
  QuotaExceededError: QuotaExceededErrorData;
  TimeoutError: TimeoutErrorData;
  UnknownError: UnknownErrorData;
  DataCorruption: DataCorruptionData;
  ConstraintError: ConstraintErrorData;
}
