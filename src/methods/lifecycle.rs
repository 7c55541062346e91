//! Handlers of LSP's lifecycle.

use std::path::PathBuf;

use super::{Ignored, table};
use crate::connection::{Connection, Phase};
use crate::dom_string::IllFormed;
use crate::error::{Error, Result};
use crate::method::Direction;
use crate::origin::Origin;
use crate::protocol::{
    Capabilities, ExecuteCommandProvider, Experimental, IllFormedStrings, InitializationOptions, Initialize, Initialized, ServerInfo,
    WebStorage,
};
use crate::reply::MAX_BATCH_REPLY;
use crate::reply::Plain;

/// The version of the protocol, semantic: a client written for one works with every later one of the same
/// major version.
///
/// It is raised with the contract, which is the document without its words: `schema/contract.txt` says what this
/// version stands for, and a test compares.
pub const PROTOCOL_VERSION: &str = "1.0.0";

/// The example of `initialize`: its params.
pub(super) const INITIALIZE: &str =
    r#"{"processId":null,"capabilities":{},"initializationOptions":{"origin":"https://example.com","illFormedStrings":"replace"}}"#;

/// And its result, with shortened lists.
pub(super) const INITIALIZED: &str = concat!(
    r#"{"capabilities":{"executeCommandProvider":{"commands":["webstorage.open","webstorage.getItem"]},"experimental":{"webStorage":{"protocolVersion":"1.0.0","#,
    r#""persistent":true,"storageDir":"/home/user/.local/share/webstorage","origin":"https://example.com","quota":10485760,"#,
    r#""maxMessageSize":67108864,"maxBatchReplySize":67108864,"busyTimeout":10000,"methods":["storage/open","storage/getItem"],"notifications":["storage/event","storage/overflow"]}}},"#,
    r#""serverInfo":{"name":"webstorage-server","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}"#
);

pub(super) fn initialize(connection: &mut Connection, params: Initialize<'_>) -> Result<Plain<Initialized>> {
    if connection.phase != Phase::Uninitialized || connection.has_opened() {
        return Err(Error::InvalidRequest("initialize must come once, and before an area is opened".to_owned()));
    }
    take_options(connection, params.initialization_options.unwrap_or_default())?;
    if let Some(process) = params.process_id {
        connection.server().watch_process(process);
    }
    connection.phase = Phase::Initialized;
    let methods = table();
    Ok(Plain(Initialized {
        capabilities: Capabilities {
            execute_command_provider: ExecuteCommandProvider { commands: methods.iter().filter_map(super::Method::command).collect() },
            experimental: Experimental { web_storage: describe(connection) },
        },
        server_info: ServerInfo { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
    }))
}

/// Takes all of the options, or none of them if one is wrong, so that `initialize` can be tried again.
fn take_options(connection: &mut Connection, options: InitializationOptions<'_>) -> Result<()> {
    let origin = options.origin.map(|origin| Origin::parse(&origin)).transpose().map_err(|error| match error {
        Error::InvalidParams { message, .. } => Error::InvalidParams {
            param: Some("initializationOptions.origin".to_owned()),
            message: format!("initializationOptions.{message}"),
        },
        other => other,
    })?;
    let dir = options.storage_dir.map(|dir| PathBuf::from(dir.into_owned()));
    if dir.as_ref().is_some_and(|dir| !dir.is_absolute()) {
        return Err(Error::param("initializationOptions.storageDir", "expected an absolute path"));
    }
    if let Some(origin) = origin {
        connection.options.origin = origin;
    }
    if let Some(dir) = dir {
        connection.set_storage_dir(dir);
    }
    if let Some(quota) = options.quota {
        connection.options.quota = quota.0;
    }
    if let Some(ill_formed) = options.ill_formed_strings {
        connection.replies.set_ill_formed(match ill_formed {
            IllFormedStrings::Escape => IllFormed::Escape,
            IllFormedStrings::Replace => IllFormed::Replace,
        });
    }
    Ok(())
}

fn describe(connection: &mut Connection) -> WebStorage {
    let shed = connection.shed();
    let for_tests = connection.server().test_methods;
    let sent_by = |direction| {
        let sent = table().into_iter().filter(|method| method.direction == direction).map(|method| method.name);
        sent.filter(|name| for_tests || !name.starts_with("test/")).collect()
    };
    WebStorage {
        protocol_version: PROTOCOL_VERSION,
        persistent: shed.is_ok(),
        persistent_unavailable: shed.as_ref().err().map(ToString::to_string),
        storage_dir: shed.ok().map(|shed| shed.dir().display().to_string()),
        origin: connection.options.origin.to_string(),
        quota: connection.options.quota,
        max_message_size: connection.server().max_message_size as u64,
        max_batch_reply_size: MAX_BATCH_REPLY as u64,
        busy_timeout: u64::try_from(connection.server().busy_timeout.as_millis()).unwrap_or(u64::MAX),
        methods: sent_by(Direction::ClientToServer),
        notifications: sent_by(Direction::ServerToClient),
    }
}

pub(super) fn initialized(connection: &mut Connection, _: Ignored) -> Result<()> {
    tracing::debug!(phase = ?connection.phase, "the client is initialized");
    Ok(())
}

pub(super) fn shutdown(connection: &mut Connection, _: Ignored) -> Result<()> {
    connection.end_group();
    connection.phase = Phase::ShutDown;
    Ok(())
}
