//! The wire types of LSP's own messages, as far as this server uses them. Other members are ignored.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ByteCount;

/// Params of `initialize`, of which this server uses some.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Initialize<'a> {
    /// The process that started the server. The server ends when that has.
    #[serde(default)]
    pub process_id: Option<i32>,
    /// The options of this server.
    #[serde(borrow, default)]
    pub initialization_options: Option<InitializationOptions<'a>>,
}

/// `initializationOptions` of `initialize`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InitializationOptions<'a> {
    /// The storage directory, an absolute path, instead of the one the server was started with.
    #[serde(borrow, default)]
    pub storage_dir: Option<Cow<'a, str>>,
    /// The default origin.
    #[serde(borrow, default)]
    pub origin: Option<Cow<'a, str>>,
    /// The quota of new areas, in bytes.
    #[serde(default)]
    pub quota: Option<ByteCount>,
    /// What is written for lone surrogates.
    #[serde(default)]
    pub ill_formed_strings: Option<IllFormedStrings>,
}

/// What is written for lone surrogates in strings.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IllFormedStrings {
    /// Their JSON escape, which is exact: `"\ud800"`.
    Escape,
    /// U+FFFD, for hosts whose JSON reader fails on them.
    Replace,
}

/// Result of `initialize`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Initialized {
    /// What the server can do.
    pub capabilities: Capabilities,
    /// Which server it is.
    pub server_info: ServerInfo,
}

/// Name and version of the program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerInfo {
    /// `webstorage-server`.
    pub name: &'static str,
    /// The version of the program.
    pub version: &'static str,
}

/// `capabilities` of the result of `initialize`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The commands of `workspace/executeCommand`.
    pub execute_command_provider: ExecuteCommandProvider,
    /// What is not part of LSP.
    pub experimental: Experimental,
}

/// The commands of `workspace/executeCommand`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExecuteCommandProvider {
    /// Their names: every storage method with `webstorage.` for `storage/`.
    pub commands: Vec<String>,
}

/// `capabilities.experimental`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experimental {
    /// What a host needs to know about the storage.
    pub web_storage: WebStorage,
}

/// `capabilities.experimental.webStorage`: what a host would otherwise have to probe for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebStorage {
    /// The version of this protocol.
    pub protocol_version: &'static str,
    /// Whether persistent areas can be opened.
    pub persistent: bool,
    /// Why they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String")]
    pub persistent_unavailable: Option<String>,
    /// The storage directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "String")]
    pub storage_dir: Option<String>,
    /// The default origin.
    pub origin: String,
    /// The quota of new areas, in bytes.
    pub quota: u64,
    /// The largest accepted message, in bytes.
    pub max_message_size: u64,
    /// The largest reply to a batch, in bytes: further calls in the batch are refused.
    pub max_batch_reply_size: u64,
    /// For how long a call waits while another process writes the same area, in milliseconds.
    pub busy_timeout: u64,
    /// The messages that a client can send.
    pub methods: Vec<&'static str>,
    /// The messages that the server can send of its own accord, each only after it was asked for.
    pub notifications: Vec<&'static str>,
}

/// Params of `workspace/executeCommand`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ExecuteCommand<'a> {
    /// The command: `webstorage.getItem` for `storage/getItem`.
    #[serde(borrow)]
    pub command: Cow<'a, str>,
    /// The params of the method: one object, or its positional params.
    #[serde(borrow, default)]
    #[schemars(with = "Option<Vec<serde_json::Value>>")]
    pub arguments: Option<&'a RawValue>,
}

/// The id of a call, as its JSON text.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Id<'a>(#[serde(borrow)] pub &'a RawValue);

impl JsonSchema for Id<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "null"], "description": "The id of a call." })
    }
}

/// Params of `$/cancelRequest`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CancelRequest<'a> {
    /// The id of the call.
    #[serde(borrow)]
    pub id: Id<'a>,
}

/// Params of `$/setTrace`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SetTrace {
    /// How much the client wants to be told.
    pub value: TraceValue,
}

/// How much a client wants to be told of what the server does.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TraceValue {
    /// Nothing.
    Off,
    /// Messages.
    Messages,
    /// Messages with details.
    Verbose,
}

/// Result of `rpc.discover`: an OpenRPC document.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Discovered(pub serde_json::Value);

impl JsonSchema for Discovered {
    fn schema_name() -> Cow<'static, str> {
        "OpenrpcDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": "A document as the OpenRPC specification 1.3 describes it." })
    }
}
