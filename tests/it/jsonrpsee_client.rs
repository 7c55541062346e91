//! jsonrpsee's own asynchronous client, over the pipes of a server.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use jsonrpsee::core::client::async_client::{Client, ClientBuilder};
use jsonrpsee::core::client::{ClientT, Error, ReceivedMessage, SubscriptionClientT, TransportReceiverT, TransportSenderT};
use jsonrpsee::core::params::{ArrayParams, ObjectParams};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::peer::PROGRAM;

/// One message a line to the server.
struct Lines(ChildStdin);

impl TransportSenderT for Lines {
    type Error = std::io::Error;

    async fn send(&mut self, message: String) -> Result<(), Self::Error> {
        self.0.write_all(format!("{message}\n").as_bytes())
    }
}

/// One message a line from the server.
struct Replies(UnboundedReceiver<String>);

impl TransportReceiverT for Replies {
    type Error = std::io::Error;

    async fn receive(&mut self) -> Result<ReceivedMessage, Self::Error> {
        self.0.recv().await.map(ReceivedMessage::Text).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// A thread reads, so that the client's tasks never wait in a read.
fn read(output: ChildStdout) -> Replies {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Replies(receiver)
}

fn start() -> (Child, Client) {
    let mut command = Command::new(PROGRAM);
    let mut child =
        command.arg("--no-persistent").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server was built and starts");
    let input = child.stdin.take().expect("the input is piped");
    let output = child.stdout.take().expect("the output is piped");
    let client = ClientBuilder::default().request_timeout(Duration::from_secs(30)).build_with_tokio(Lines(input), read(output));
    (child, client)
}

/// Waits for the server to end, while the client's tasks go on: it is their end that closes the input.
async fn ends_cleanly(mut child: Child) -> bool {
    let ended = tokio::task::spawn_blocking(move || child.wait()).await;
    ended.expect("waiting does not panic").expect("the process is ours").success()
}

fn positions(values: &[Value]) -> ArrayParams {
    let mut params = ArrayParams::new();
    for value in values {
        params.insert(value).expect("the values are JSON");
    }
    params
}

#[tokio::test]
async fn calls_notifications_batches_and_errors() {
    let (child, client) = start();
    let mut by_name = ObjectParams::new();
    by_name.insert("persistent", false).expect("a boolean is JSON");
    let opened: Value = client.request("storage/open", by_name).await.expect("the area opens");
    let storage = &opened["storage"];
    client.notification("setItem", positions(&[storage.clone(), json!("a"), json!("1")])).await.expect("the server runs");
    let value: Option<String> = client.request("getItem", positions(&[storage.clone(), json!("a")])).await.expect("the area is open");
    assert_eq!(value.as_deref(), Some("1"));
    let mut batch = jsonrpsee::core::params::BatchRequestBuilder::new();
    for key in ["a", "b"] {
        batch.insert("getItem", positions(&[storage.clone(), json!(key)])).expect("the params are JSON");
    }
    let replies = client.batch_request::<Option<String>>(batch).await.expect("the batch is answered");
    let values: Vec<Option<String>> = replies.into_iter().map(|reply| reply.expect("each call succeeds")).collect();
    assert_eq!(values, [Some("1".to_owned()), None]);
    match client.request::<Value, _>("storage/length", positions(&[json!(99)])).await {
        Err(Error::Call(error)) => {
            assert_eq!(error.code(), 11);
            assert_eq!(error.data().map(serde_json::value::RawValue::get), Some(r#"{"name":"InvalidStateError"}"#));
        }
        other => panic!("an unknown handle is an error, not {other:?}"),
    }
    drop(client);
    assert!(ends_cleanly(child).await, "the end of the input is a normal end");
}

#[tokio::test]
async fn storage_events_are_notifications() {
    let (child, client) = start();
    let mut events = client.subscribe_to_method::<Value>("storage/event").await.expect("the client runs");
    let first: Value = client.request("storage/open", positions(&[json!(false)])).await.expect("the area opens");
    let second: Value = client.request("storage/open", positions(&[json!(false)])).await.expect("the area opens");
    let _: Value = client.request("storage/subscribe", positions(&[second["storage"].clone()])).await.expect("the area is open");
    let _: Value =
        client.request("setItem", positions(&[first["storage"].clone(), json!("k"), json!("v")])).await.expect("the area is open");
    let event = events.next().await.expect("the client runs").expect("the event is JSON");
    assert_eq!((&event["key"], &event["oldValue"], &event["newValue"]), (&json!("k"), &Value::Null, &json!("v")));
    drop((events, client));
    assert!(ends_cleanly(child).await, "the end of the input is a normal end");
}
