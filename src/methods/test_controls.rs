//! Controls for tests, refused unless the server was started with `--enable-test-methods`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::SchemaGenerator;

use crate::area::Change;
use crate::connection::Connection;
use crate::dom_string::DomString;
use crate::error::{Error, Result};
use crate::protocol::{Call, CallLog, Calls, Count, Delay, DenyPersistence, DispatchEvent, Fail, NoParams, SetQuota};
use crate::reply::Plain;
use crate::test_controls::{Action, Rule};

pub(super) fn fail(connection: &mut Connection, params: Fail<'_>) -> Result<()> {
    let action = Action::Fail(params.error);
    let rule = rule(params.method, params.key, params.count, params.skip, action)?;
    connection.controls()?.add(rule);
    Ok(())
}

pub(super) fn delay(connection: &mut Connection, params: Delay<'_>) -> Result<()> {
    let action = Action::Delay(Duration::from_millis(params.milliseconds.0));
    let rule = rule(params.method, params.key, params.count, params.skip, action)?;
    connection.controls()?.add(rule);
    Ok(())
}

fn rule(
    method: Option<Cow<'_, str>>,
    key: Option<DomString<'_>>,
    count: Option<Count>,
    skip: Option<Count>,
    action: Action,
) -> Result<Rule> {
    if let Some(method) = &method {
        let table = super::table();
        let Some(row) = table.iter().find(|row| row.name == method && row.name.starts_with("storage/")) else {
            return Err(Error::param("method", format_args!("expected the name of a storage method, found {method:?}")));
        };
        if key.is_some() && (row.params)(&mut SchemaGenerator::default()).pointer("/properties/key").is_none() {
            return Err(Error::param(
                "key",
                format_args!("{method} has no param of that name, so no call would be concerned; leave it out"),
            ));
        }
    }
    if count.is_some_and(|count| count.0 == 0) {
        return Err(Error::param("count", "expected at least 1"));
    }
    Ok(Rule {
        method: method.map(Cow::into_owned),
        key: key.map(DomString::into_bytes),
        skip: skip.map_or(0, |skip| skip.0),
        count: count.map(|count| count.0),
        action,
    })
}

pub(super) fn set_quota(connection: &mut Connection, params: SetQuota) -> Result<()> {
    connection.controls()?;
    connection.override_quota(params.storage, params.quota.0)
}

pub(super) fn deny_persistence(connection: &mut Connection, params: DenyPersistence<'_>) -> Result<()> {
    let reason = params.reason.map_or_else(|| "a test has denied it".to_owned(), Cow::into_owned);
    connection.deny_persistence(reason)
}

pub(super) fn dispatch_event(connection: &mut Connection, params: DispatchEvent<'_>) -> Result<()> {
    let owned = |string: Option<DomString<'_>>| string.map(DomString::into_bytes);
    let (key, old_value, new_value) = (owned(params.key), owned(params.old_value), owned(params.new_value));
    let change = Change { sequence: 0, key, old_value, new_value };
    connection.controls()?;
    connection.dispatch_event(params.storage, change, params.url.as_deref().unwrap_or_default())
}

pub(super) fn reset(connection: &mut Connection, _: NoParams) -> Result<()> {
    connection.reset_for_test()
}

pub(super) fn calls(connection: &mut Connection, params: Calls) -> Result<Plain<CallLog>> {
    let controls = connection.controls()?;
    let (calls, dropped) = if params.clear { controls.take_calls() } else { controls.calls() };
    let calls = calls.into_iter().map(|call| Call { method: call.method, params: call.params, failed: call.failed }).collect();
    Ok(Plain(CallLog { calls, dropped }))
}
