//! Administration: what there is, how much of it, whether it is sound, and away with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::connection::Connection;
use crate::dom_string::{DomString, units};
use crate::error::Result;
use crate::origin::Origin;
use crate::protocol::{
    Checked, Damaged, Estimate, Flush, Item, KeySize, Largest, NoParams, OfOrigin, OfStorage, OriginInfo, Salvage, SalvageResult,
};
use crate::reply::Plain;
use crate::shed::BottleInfo;

pub(super) fn estimate(connection: &mut Connection, params: OfStorage) -> Result<Plain<Estimate>> {
    let row = connection.row(params.storage)?;
    let size = match connection.bottle_origin(params.storage)? {
        Some(origin) => Some(connection.shed()?.size(&origin)),
        None => None,
    };
    Ok(Plain(Estimate { usage: row.usage, quota: row.quota, length: row.length, size }))
}

pub(super) fn origins(connection: &mut Connection, _: NoParams) -> Result<Plain<Vec<OriginInfo>>> {
    connection.end_group();
    let Some(shed) = connection.existing_shed()? else { return Ok(Plain(Vec::new())) };
    let bottles = shed.bottles(&connection.wait)?;
    let mut origins: Vec<OriginInfo> = bottles.into_iter().map(describe).collect();
    origins.sort_by(|a, b| (&a.origin, &a.path).cmp(&(&b.origin, &b.path)));
    Ok(Plain(origins))
}

fn describe(bottle: BottleInfo) -> OriginInfo {
    let BottleInfo { path, size, changed, content } = bottle;
    let (origin, row, problem) = match content {
        Ok((origin, row)) => (Some(origin), Some(row), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    OriginInfo {
        origin,
        length: row.map(|row| row.length),
        usage: row.map(|row| row.usage),
        quota: row.map(|row| row.quota),
        changed,
        size,
        path: path.display().to_string(),
        problem,
    }
}

pub(super) fn delete(connection: &mut Connection, params: OfOrigin<'_>) -> Result<bool> {
    let origin = Origin::parse(&params.origin)?;
    connection.delete(&origin)
}

pub(super) fn flush(connection: &mut Connection, params: Flush) -> Result<()> {
    connection.flush(params.storage)
}

pub(super) fn largest(connection: &mut Connection, params: Largest) -> Result<Plain<Vec<KeySize<'static>>>> {
    let limit = usize::try_from(params.limit.map_or(10, |limit| limit.0)).unwrap_or(usize::MAX);
    // The smallest of those kept is on top, and among equal ones the last in key order.
    let mut kept = BinaryHeap::new();
    let mut place = 0_u64;
    connection.read(params.storage, |area, database| {
        area.entries(database, None, u64::MAX, |key, value| {
            let usage = 2 * (units(key) + units(value));
            place += 1;
            if kept.len() < limit || kept.peek().is_some_and(|Reverse((least, _, _))| usage > *least) {
                kept.push(Reverse((usage, Reverse(place), key.to_vec())));
                if kept.len() > limit {
                    kept.pop();
                }
            }
            Ok(())
        })
    })?;
    let largest = kept.into_sorted_vec().into_iter();
    Ok(Plain(largest.map(|Reverse((usage, _, key))| KeySize { key: DomString::from_wtf8(key), usage }).collect()))
}

pub(super) fn check(connection: &mut Connection, params: OfOrigin<'_>) -> Result<Plain<Checked>> {
    connection.end_group();
    let origin = Origin::parse(&params.origin)?;
    let shed = connection.shed()?;
    let problems = shed.check(&origin, &connection.wait)?;
    let damaged = shed.damaged_files(Some(&origin))?;
    Ok(Plain(Checked {
        path: shed.path(&origin).display().to_string(),
        origin: origin.to_string(),
        exists: problems.is_some(),
        problems: problems.unwrap_or_default(),
        damaged: damaged
            .into_iter()
            .map(|file| Damaged { file: file.name, path: file.path.display().to_string(), size: file.size })
            .collect(),
    }))
}

pub(super) fn salvage(connection: &mut Connection, params: Salvage<'_>) -> Result<Plain<SalvageResult<'static>>> {
    let salvaged = connection.shed()?.salvage(&params.file, &connection.wait)?;
    let items = salvaged.items.into_iter();
    Ok(Plain(SalvageResult {
        complete: salvaged.complete,
        items: items.map(|item| Item { key: DomString::from_wtf8(item.key), value: DomString::from_wtf8(item.value) }).collect(),
    }))
}
