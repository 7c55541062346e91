import type { Area, Change } from "./area.js";

/** One document's hold on an area. */
export interface View extends Area {
  /** Replaces the whole content without an event for anybody in this process. */
  replaceAll(entries: Iterable<readonly [string, string]>): void;
  /** Every item, in key order. */
  entries(): [string, string][];
  /** Lets go of the area. What was only in memory is gone when its last view is. */
  dispose(): void;
}

/** Who a view belongs to. */
export interface ViewOwner {
  /** The document's URL, which its changes carry. */
  url: string;
  /** Called for each change that another document made, and for the own ones when `emitSelf` is set. */
  deliver(change: Change): void;
  /** Whether the document hears of its own changes, which the standard does not want. */
  emitSelf: boolean;
}

/** Which area a view is on. */
export interface AreaAddress {
  persistent: boolean;
  origin: string;
  quota?: number;
}
