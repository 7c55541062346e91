//! Snapshots.

use crate::connection::Connection;
use crate::error::Result;
use crate::protocol::{OfSnapshot, OfStorage, Restore, Snapshotted};
use crate::reply::Plain;

pub(super) fn snapshot(connection: &mut Connection, params: OfStorage) -> Result<Plain<Snapshotted>> {
    let (snapshot, length) = connection.take_snapshot(params.storage)?;
    Ok(Plain(Snapshotted { snapshot, length }))
}

pub(super) fn restore(connection: &mut Connection, params: Restore) -> Result<()> {
    connection.restore_snapshot(params.storage, params.snapshot)
}

pub(super) fn discard(connection: &mut Connection, params: OfSnapshot) -> Result<()> {
    connection.discard_snapshot(params.snapshot)
}
