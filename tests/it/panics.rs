//! A handler that panics: its call changes nothing, and the next ones work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use webstorage_server::connection::{Connection, Options, Persistence};
use webstorage_server::dom_string::IllFormed;
use webstorage_server::error::Error;
use webstorage_server::frame::Framing;
use webstorage_server::origin::Origin;
use webstorage_server::output::Output;
use webstorage_server::reply::WriteResult;
use webstorage_server::server::Server;
use webstorage_server::sqlite::Durability;

use crate::folder::Folder;

fn connection(dir: &Path) -> Connection {
    let server = Arc::new(Server {
        options: Options {
            origin: Origin::parse("http://localhost").expect("it is an origin"),
            quota: 1 << 20,
            ill_formed: IllFormed::Escape,
        },
        persistence: Persistence::In(dir.to_owned()),
        busy_timeout: std::time::Duration::from_secs(10),
        durability: Durability::Normal,
        max_message_size: 1 << 20,
        log_values: false,
        test_methods: false,
        wire_log: None,
        on_process: Box::new(|_| {}),
        sheds: parking_lot::Mutex::default(),
    });
    let (_, writer) = rustix::pipe::pipe().expect("descriptors are left");
    Connection::new(server, Output::new(writer, 1, None), 1)
}

#[test]
fn a_panic_leaves_no_transaction_behind() {
    let folder = Folder::new();
    for more_waiting in [false, true] {
        let mut connection = connection(folder.path());
        let origin = connection.options.origin.clone();
        let opened = connection.open(true, &origin, None, "http://localhost").expect("there is a storage directory");
        connection.more_waiting = more_waiting;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            connection.write(opened.handle, 0, |area, database| -> Result<(), Error> {
                area.set_item(database, b"lost", b"x")?;
                area.save(database)?;
                panic!("the handler of this test");
            })
        }));
        assert!(panicked.is_err());
        connection.answer_panic(Some("1"));
        connection.more_waiting = false;
        let length = connection.read(opened.handle, |area, _| Ok(area.row().length)).expect("the next call works");
        assert_eq!(length, 0, "more waiting: {more_waiting}");
        connection.write(opened.handle, 0, |area, database| area.set_item(database, b"a", b"1")).expect("the next change works");
        let mut values =
            |key: &[u8]| connection.read(opened.handle, |area, database| area.get_item(database, key)).expect("it can be read");
        assert_eq!((values(b"lost"), values(b"a")), (None, Some(b"1".to_vec())));
        connection.write(opened.handle, 0, |area, database| area.remove_item(database, b"a")).expect("the next change works");
        connection.end(&webstorage_server::wait::Wait::at_most(std::time::Duration::ZERO));
    }
}

struct Breaks;

impl WriteResult for Breaks {
    fn write(&self, _: IllFormed, out: &mut Vec<u8>) {
        out.extend_from_slice(b"[1,2,");
        panic!("the result of this test");
    }
}

#[test]
fn a_result_that_cannot_be_written_leaves_no_part_of_it() {
    let folder = Folder::new();
    for batch in [false, true] {
        let mut connection = connection(folder.path());
        connection.replies.set_framing(Framing::Lines);
        if batch {
            connection.replies.begin_batch();
        }
        for id in ["1", "2"] {
            assert!(catch_unwind(AssertUnwindSafe(|| connection.answer(Some(id), |_| Ok(Breaks)))).is_err());
            connection.answer_panic(Some(id));
        }
        connection.answer(Some("3"), |_| Ok(true));
        connection.replies.end_batch();
        let replies = String::from_utf8_lossy(connection.replies.bytes()).into_owned();
        let replies: Vec<serde_json::Value> = if batch {
            serde_json::from_str(&replies).expect("a batch is answered with one array")
        } else {
            replies.lines().map(|line| serde_json::from_str(line).expect("each line is a reply")).collect()
        };
        let told: Vec<_> = replies.iter().map(|reply| (reply["id"].as_u64(), reply["error"]["code"].as_i64())).collect();
        assert_eq!(told, [(Some(1), Some(-32603)), (Some(2), Some(-32603)), (Some(3), None)]);
    }
}
