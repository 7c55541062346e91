//! The wire types of snapshots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Handle;

/// Result of `storage/snapshot`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Snapshotted {
    /// What `storage/restore` takes. Valid on this connection until `storage/discard`.
    pub snapshot: u32,
    /// The number of items.
    pub length: u64,
}

/// Params of `storage/restore`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The handle.
    pub storage: Handle,
    /// The snapshot, of this or any other area.
    pub snapshot: u32,
}

/// Params of `storage/discard`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfSnapshot {
    /// The snapshot.
    pub snapshot: u32,
}
