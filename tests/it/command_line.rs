//! The commands, as people and scripts use them.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use webstorage_server::transcript::Framing;

use crate::folder::Folder;
use crate::peer::{PROGRAM, Peer};

/// Runs a command with this on its standard input.
pub fn run(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("WEBSTORAGE_DIR", directory.join("storage")).env("HOME", directory).env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    child.stdin.take().expect("the input is a pipe").write_all(input.as_bytes()).expect("the program reads or has not ended");
    child.wait_with_output().expect("the program ends")
}

/// Runs a command and compares its exit code and output.
pub fn expect(directory: &Path, arguments: &[&str], code: i32, stdout: &str) {
    let output = run(directory, arguments, "");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}{err}");
    assert_eq!(out, stdout, "{arguments:?}\n{err}");
}

#[test]
fn items_are_set_read_and_removed() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["get", "absent"], 1, "");
    expect(folder, &["set", "theme", "dark"], 0, "");
    expect(folder, &["get", "theme"], 0, "dark");
    expect(folder, &["get", "theme", "--origin", "https://other.test"], 1, "");
    expect(folder, &["set", "--json-input", r#""\ud800""#, r#""a\u0000\udfff""#], 0, "");
    expect(folder, &["get", "--json", "--json-input", r#""\ud800""#], 0, "\"a\\u0000\\udfff\"\n");
    expect(folder, &["get", "--json-input", "no string"], 3, "");
    assert_eq!(run(folder, &["set", "from input"], "line 1\nline 2\n").status.code(), Some(0));
    expect(folder, &["get", "from input"], 0, "line 1\nline 2\n");
    expect(
        folder,
        &["list", "--json"],
        0,
        "{\"key\":\"theme\",\"value\":\"dark\"}\n{\"key\":\"\\ud800\",\"value\":\"a\\u0000\\udfff\"}\n{\"key\":\"from input\",\"value\":\"line 1\\nline 2\\n\"}\n",
    );
    expect(
        folder,
        &["list"],
        0,
        "theme           18 B  dark\n\\ud800           8 B  a\\u0000\\udfff\nfrom input      48 B  line 1\\nline 2\\n\n",
    );
    expect(folder, &["set", "theme", "-5"], 0, "");
    expect(folder, &["get", "theme"], 0, "-5");
    expect(folder, &["remove", "theme"], 0, "");
    expect(folder, &["remove", "theme"], 1, "");
    expect(folder, &["clear"], 0, "");
    expect(folder, &["list"], 0, "");
    expect(folder, &["check"], 0, "http://localhost  sound\n");
    expect(folder, &["delete", "http://localhost"], 0, "");
    expect(folder, &["delete", "http://localhost"], 1, "");
    expect(folder, &["origins", "--json"], 0, "");
}

#[test]
fn an_origin_is_named_with_or_without_the_flag() {
    const A: &str = "https://a.test";
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    for origin in [A, "https://b.test"] {
        expect(folder, &["set", "key", origin, "--origin", origin], 0, "");
    }
    let state =
        format!("{{\"cookies\":[],\"origins\":[{{\"origin\":\"{A}\",\"localStorage\":[{{\"name\":\"key\",\"value\":\"{A}\"}}]}}]}}\n");
    for arguments in [["export", A].as_slice(), &["export", "--origin", A], &["export", A, "--origin", A]] {
        expect(folder, arguments, 0, &state);
    }
    expect(folder, &["export", "--format", "flat", "--origin", A], 0, "{\"key\":\"https://a.test\"}\n");
    expect(folder, &["check", "--origin", A], 0, "https://a.test  sound\n");
    expect(folder, &["delete", "--origin", A], 0, "");
    expect(folder, &["delete", A], 1, "");
    expect(folder, &["delete", "https://b.test", "--origin", A], 2, "");
    expect(folder, &["delete"], 2, "");
    expect(folder, &["check"], 0, "https://b.test  sound\n");
}

/// Starts removing an item while somebody else writes.
fn start_removing(directory: &Path, key: &str) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["remove", key]).env("WEBSTORAGE_DIR", directory).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program was built")
}

#[test]
fn one_of_several_processes_has_removed_an_item() {
    let folder = Folder::new();
    let temporary = folder.path().parent().expect("the storage directory is in a temporary one");
    for round in 0..10 {
        expect(temporary, &["set", "key", "value"], 0, "");
        let database = rusqlite::Connection::open(folder.default_bottle()).expect("the file is a database");
        database.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
        let removing = [(); 4].map(|()| start_removing(folder.path(), "key"));
        // What started before has looked for the item when this has found it, or soon after.
        expect(temporary, &["get", "key"], 0, "value");
        database.execute_batch("COMMIT").expect("nothing was changed");
        let mut codes = removing.map(|mut child| child.wait().expect("the program ends").code());
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(1), Some(1), Some(1)], "round {round}");
    }
}

#[test]
fn an_item_that_changes_meanwhile_is_removed() {
    let folder = Folder::new();
    let temporary = folder.path().parent().expect("the storage directory is in a temporary one");
    expect(temporary, &["set", "key", "old"], 0, "");
    for _ in 0..5 {
        let database = rusqlite::Connection::open(folder.default_bottle()).expect("the file is a database");
        database.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
        let mut removing = start_removing(folder.path(), "key");
        expect(temporary, &["get", "key"], 0, "old");
        database
            .execute_batch("UPDATE item SET value = x'6E6577'; UPDATE area SET sequence = sequence + 1; COMMIT")
            .expect("nobody else writes");
        assert_eq!(removing.wait().expect("the program ends").code(), Some(0));
        expect(temporary, &["get", "key"], 1, "");
        expect(temporary, &["set", "key", "old"], 0, "");
    }
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "key", "too long", "--origin", "null"], 3, "");
    expect(
        folder,
        &["call", "storage/open", r#"{"persistent":true,"quota":4}"#],
        0,
        "{\"storage\":1,\"persistent\":true,\"origin\":\"http://localhost\",\"length\":0,\"usage\":0,\"quota\":4}\n",
    );
    expect(folder, &["set", "key", "too long"], 3, "");
    expect(folder, &["call", "no/method"], 3, "");
    expect(folder, &["call", "storage/length", "{"], 3, "");
    expect(folder, &["import", "absent.json"], 1, "");
    assert_eq!(run(folder, &["frobnicate"], "").status.code(), Some(2));
    assert_eq!(run(folder, &["get", "a", "--origin", "no origin"], "").status.code(), Some(2));
    std::fs::write(folder.join("file"), "").expect("the folder is writable");
    let in_a_file = folder.join("file/storage");
    expect(folder, &["get", "a", "--storage-dir", in_a_file.to_str().expect("the name is UTF-8")], 3, "");
}

#[test]
fn looking_creates_nothing() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let storage = folder.join("storage");
    let nothing = "{\"cookies\":[],\"origins\":[]}\n";
    for exists in [false, true] {
        expect(folder, &["get", "key"], 1, "");
        expect(folder, &["remove", "key"], 1, "");
        expect(folder, &["list"], 0, "");
        expect(folder, &["origins"], 0, "");
        expect(folder, &["export"], 0, nothing);
        expect(folder, &["export", "--origin", "https://a.test", "--format", "flat"], 1, "");
        expect(folder, &["export", "https://a.test", "--output", "/dev/null/absent"], 1, "");
        expect(folder, &["clear"], 0, "");
        expect(folder, &["check"], 0, "");
        if exists {
            assert_eq!(std::fs::read_dir(&storage).expect("it was made").count(), 0, "a directory with other contents gets none of ours");
        } else {
            assert!(!storage.exists());
            std::fs::create_dir(&storage).expect("the folder is writable");
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_words_of_the_command_line() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    std::fs::write(folder.join("text"), "lorem ipsum ".repeat(1000)).expect("the folder is writable");
    std::fs::write(folder.join("bad.json"), "{\"a\":").expect("the folder is writable");
    std::fs::write(folder.join("odd.json"), "{\"origins\":[{\"localStorage\":[]}]}").expect("the folder is writable");
    std::fs::write(folder.join("state.json"), "{\"origins\":[{\"origin\":\"https://b.test\",\"localStorage\":[]}]}")
        .expect("the folder is writable");
    for origin in ["http://localhost", "https://a.test"] {
        let mut command = Command::new(PROGRAM);
        command
            .args(["set", "key", "value", "--origin", origin])
            .env("HOME", folder)
            .env_remove("WEBSTORAGE_DIR")
            .env_remove("XDG_DATA_HOME");
        assert!(command.stdin(Stdio::null()).status().expect("the program was built").success());
    }
    for (arguments, code, words) in [
        (["get", "key", "--origin", "data:,"].as_slice(), 3, ["null", "--origin"].as_slice()),
        (&["--log", "nonsense"], 2, &["--log \"nonsense\"", "off, error, warn"]),
        (&["import", "absent.json"], 1, &["there is no file"]),
        (&["replay", "absent.txt"], 1, &["there is no file absent.txt"]),
        (&["replay", "text"], 3, &["text:1: `lorem ipsum", "…`", "neither a setting nor a step"]),
        (&["call", "storage/getitem", "[1,\"a\"]"], 3, &["storage/getitem", "storage/getItem"]),
        (&["call", "getItem", "[\"one\",\"a\"]"], 3, &["storage: ", "expected an integer from 0 to 4294967295"]),
        (&["export", "--format", "flat"], 3, &["--format", "one origin", "--origin"]),
        (&["export", "--format", "pairs", "https://a.test", "http://localhost"], 3, &["--format", "found 2", "--origin"]),
        (&["import", "bad.json"], 3, &["bad.json, line 1"]),
        (&["import", "odd.json"], 3, &["odd.json, line 1", "origins[0]"]),
        (&["import", "state.json", "--origin", "https://a.test"], 3, &["--origin"]),
        (&["export", "--output", "bad.json"], 3, &["bad.json, line 1", "Nothing was written"]),
        (&["export", "https://no.test"], 1, &["https://no.test has no storage", "nothing was written"]),
        (&["salvage", "absent.sqlite"], 1, &["there is no damaged file absent.sqlite", "check"]),
        (&["delete", "no origin"], 3, &["expected an origin such as"]),
        (&["check", "no origin"], 3, &["expected an origin such as"]),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(folder).env("HOME", folder);
        command.env_remove("WEBSTORAGE_DIR").env_remove("XDG_DATA_HOME").env_remove("RUST_LOG");
        let output = command.stdin(Stdio::null()).output().expect("the program was built");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{told}");
        assert!(told.len() < 300 && words.iter().all(|word| told.contains(word)), "{arguments:?}\n{told}");
        assert!(!told.contains("Invalid params") || arguments[0] == "call", "{arguments:?}\n{told}");
        assert!(!told.contains("persistent false") && !told.contains("path: ") && !told.contains("state: "), "{arguments:?}\n{told}");
    }
    // The variable is shared with other programs, whose modules it may name.
    let mut command = Command::new(PROGRAM);
    let output = command.arg("origins").env("HOME", folder).env_remove("WEBSTORAGE_DIR").env("RUST_LOG", "hyper").output();
    assert_eq!(output.expect("the program was built").status.code(), Some(0));
}

#[test]
fn one_call_of_any_method() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["call", "storage/transact", r#"{"set":[{"key":"a","value":"1"}]}"#], 0, "null\n");
    expect(folder, &["call", "getItem", r#"[1,"a"]"#], 0, "\"1\"\n");
    expect(folder, &["call", "storage/length"], 0, "1\n");
    expect(folder, &["call", "storage/transact", r#"{"if":[{"key":"a","value":null}],"clear":true}"#], 3, "");
}

#[test]
fn states_go_out_and_in() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "a", "1"], 0, "");
    expect(folder, &["set", "b", "2", "--origin", "https://b.test"], 0, "");
    let state = concat!(
        r#"{"cookies":[],"origins":[{"origin":"http://localhost","localStorage":[{"name":"a","value":"1"}]},"#,
        r#"{"origin":"https://b.test","localStorage":[{"name":"b","value":"2"}]}]}"#,
        "\n"
    );
    expect(folder, &["export"], 0, state);
    expect(folder, &["export", "--format", "flat", "https://b.test"], 0, "{\"b\":\"2\"}\n");
    let file = folder.join("state.json");
    let file = file.to_str().expect("the name is UTF-8");
    expect(folder, &["export", "--output", file], 0, "");
    assert_eq!(std::fs::read_to_string(file).expect("the file was written"), state);
    expect(folder, &["clear"], 0, "");
    expect(
        folder,
        &["import", file, "--dry-run"],
        0,
        "http://localhost  local    1 added, 0 changed, 0 removed, 0 as they were\nhttps://b.test    local    0 added, 0 changed, 0 removed, 1 as they were\nnothing was changed (dry run)\n",
    );
    expect(folder, &["get", "a"], 1, "");
    expect(
        folder,
        &["import", file],
        0,
        "http://localhost  local    1 added, 0 changed, 0 removed, 0 as they were\nhttps://b.test    local    0 added, 0 changed, 0 removed, 1 as they were\n",
    );
    expect(folder, &["get", "a"], 0, "1");
    let output = run(folder, &["import", "-", "--mode", "replace", "--origin", "https://b.test"], r#"[["c","3"]]"#);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "https://b.test  local    1 added, 0 changed, 1 removed, 0 as they were\n");
}

#[test]
fn session_storage_in_a_state_is_left_alone() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let state = concat!(
        r#"{"cookies":[{"name":"c"}],"origins":[{"origin":"https://a.test","localStorage":[{"name":"a","value":"1"}],"#,
        r#""sessionStorage":[{"name":"b","value":"2"}]}]}"#
    );
    let output = run(folder, &["import", "-"], state);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        concat!(
            "https://a.test  local    1 added, 0 changed, 0 removed, 0 as they were\n",
            "https://a.test  session  left alone, because session storage lives only as long as a connection\n",
            "left alone: cookies\n"
        )
    );
    let output = run(folder, &["import", "-", "--json"], state);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        concat!(
            r#"{"dryRun":false,"areas":[{"origin":"https://a.test","persistent":true,"added":0,"changed":0,"unchanged":1,"removed":0,"#,
            r#""length":1,"usage":4}],"ignored":["cookies","sessionStorage of https://a.test"]}"#,
            "\n"
        )
    );
}

/// What one command writes, and the next reads.
fn piped(directory: &Path, from: &[&str], to: &[&str]) -> Output {
    let environment = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("WEBSTORAGE_DIR", directory.join("storage")).env("HOME", directory).env_remove("RUST_LOG");
        command
    };
    let mut first = environment(from).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program was built");
    let output = first.stdout.take().expect("the output is a pipe");
    let done = environment(to).stdin(output).output().expect("the program was built");
    assert!(first.wait().expect("the program ends").success(), "{from:?}");
    done
}

#[test]
fn any_value_goes_through_a_pipe_as_it_is() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    for value in [
        r#""""#,
        r#""abc""#,
        r#""abc\n""#,
        r#""\n\n""#,
        r#"" \r\n\t ""#,
        r#""a\u0000b\u0000""#,
        r#""\\ud800 \"""#,
        r#""\ud800""#,
        r#""\udfff😀\ud83d\n""#,
        "\"\u{FEFF}añ€\u{202E}\u{FFFD}\u{10FFFF}\"",
    ] {
        expect(folder, &["set", "--json-input", r#""from""#, value], 0, "");
        let set = piped(folder, &["get", "from"], &["set", "to"]);
        assert!(set.status.success(), "{value}: {set:?}");
        expect(folder, &["get", "to", "--json"], 0, &format!("{value}\n"));
        let set = piped(folder, &["get", "from", "--json"], &["set", "--json-input", r#""again""#]);
        assert!(set.status.success(), "{value}: {set:?}");
        expect(folder, &["get", "again", "--json"], 0, &format!("{value}\n"));
    }
    for bytes in [b"a\xFF".as_slice(), b"\xC0\x80", b"\xED\xA0"] {
        let mut command = Command::new(PROGRAM);
        command.args(["set", "to"]).env("WEBSTORAGE_DIR", folder.join("storage")).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built");
        child.stdin.take().expect("the input is a pipe").write_all(bytes).expect("the program reads");
        assert_eq!(child.wait_with_output().expect("the program ends").status.code(), Some(3), "{bytes:?}");
    }
}

#[test]
fn the_form_of_the_output_does_not_change_the_input() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "key", "value"], 0, "");
    expect(folder, &["get", "key", "--json"], 0, "\"value\"\n");
    // A flag that says nothing about a command is refused, and changes nothing.
    expect(folder, &["set", "--json", "\"key\"", "\"other\""], 2, "");
    expect(folder, &["remove", "--json", "key"], 2, "");
    expect(folder, &["get", "key"], 0, "value");
    expect(folder, &["remove", "--json-input", "\"key\""], 0, "");
    expect(folder, &["get", "key"], 1, "");
}

#[test]
fn what_is_not_written_exactly_is_said() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "--json-input", r#""k""#, r#""a\udfff\ud83d\ude00""#], 0, "");
    let output = run(folder, &["get", "k"], "");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), b"a\xED\xBF\xBF\xF0\x9F\x98\x80".as_slice()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("--json") && told.contains("--ill-formed-strings replace"), "{output:?}");
    let output = run(folder, &["get", "k", "--ill-formed-strings", "replace"], "");
    assert_eq!((&*String::from_utf8_lossy(&output.stdout), output.stderr.len()), ("a\u{FFFD}😀", 0));
    for (key, value) in [("k", "a\u{FFFD}"), ("plain", "😀")] {
        expect(folder, &["set", key, value], 0, "");
        assert_eq!(String::from_utf8_lossy(&run(folder, &["get", key], "").stderr), "");
    }
}

#[test]
fn lone_surrogates_are_replaced_for_programs_that_stop_at_them() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "--json-input", r#""k\ud800""#, r#""\\ud800 \udfff \ud83d\ude00 \ud83d\"""#], 0, "");
    let key = "k\u{FFFD}";
    let value = "\\\\ud800 \u{FFFD} \\ud83d\\ude00 \u{FFFD}\\\"".replace("\\ud83d\\ude00", "😀");
    let replace = ["--ill-formed-strings", "replace"];
    expect(folder, &[&replace[..], &["list", "--json"]].concat(), 0, &format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n"));
    expect(folder, &[&["get", "--json", "--json-input", r#""k\ud800""#], &replace[..]].concat(), 0, &format!("\"{value}\"\n"));
    expect(folder, &[&["call", "storage/keys"], &replace[..]].concat(), 0, &format!("[\"{key}\"]\n"));
    expect(folder, &[&["export", "--format", "flat"], &replace[..]].concat(), 0, &format!("{{\"{key}\":\"{value}\"}}\n"));
    // A server does the same, where its client does not say otherwise.
    let calls = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"storage/open","params":[true]}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":2,"method":"storage/keys","params":[1]}"#,
        "\n"
    );
    for arguments in [["--ill-formed-strings", "replace", "serve"].as_slice(), &["--ill-formed-strings", "replace"]] {
        let output = run(folder, arguments, calls);
        let reply = format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":[\"{key}\"]}}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().nth(1), Some(&*reply), "{arguments:?}");
    }
}

#[test]
fn a_flag_means_the_same_before_and_after_the_command() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let other = folder.join("other");
    let other = other.to_str().expect("the name is UTF-8");
    let flags: [&[&str]; 4] = [
        &["--origin", "https://a.test"],
        &["--storage-dir", other],
        &["--storage-dir", other, "--origin", "https://a.test"],
        &["--quota", "8", "--origin", "https://small.test"],
    ];
    for (n, flags) in flags.into_iter().enumerate() {
        let value = n.to_string();
        expect(folder, &[flags, &["set", "key", &value]].concat(), 0, "");
        expect(folder, &[&["get", "key"], flags].concat(), 0, &value);
        expect(folder, &[&["set", "key", "after"], flags].concat(), if value == "3" { 3 } else { 0 }, "");
        expect(folder, &[flags, &["list"]].concat(), 0, if value == "3" { "key       8 B  3\n" } else { "key      16 B  after\n" });
    }
    expect(folder, &["--origin", "https://a.test", "delete"], 0, "");
    expect(folder, &["--origin", "https://a.test", "export"], 1, "");
    let enabled = "{\"calls\":[],\"dropped\":0}\n";
    expect(folder, &["--enable-test-methods", "call", "test/calls"], 0, enabled);
    expect(folder, &["call", "test/calls", "--enable-test-methods"], 0, enabled);
    expect(folder, &["call", "test/calls"], 3, "");
    // As serve takes them.
    for arguments in [["--no-persistent", "serve"], ["serve", "--no-persistent"]] {
        let output = run(folder, &arguments, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"storage/open\",\"params\":[true]}\n");
        assert!(String::from_utf8_lossy(&output.stdout).contains("NotSupportedError"), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_flag_that_means_nothing_to_a_command_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    for (flag, command) in [
        (["--listen", "socket"].as_slice(), ["get", "key"].as_slice()),
        (&["--stdio"], &["list"]),
        (&["--record", "file"], &["set", "key", "value"]),
        (&["--clientProcessId", "1"], &["watch"]),
        (&["--max-message-size", "9"], &["export"]),
        (&["--no-persistent"], &["get", "key"]),
        (&["--enable-test-methods"], &["list"]),
        (&["--origin", "https://a.test"], &["schema"]),
        (&["--quota", "9"], &["replay", "absent.txt"]),
        (&["--ill-formed-strings", "replace"], &["set", "key", "value"]),
        (&["--trace", "file"], &["man"]),
    ] {
        for arguments in [[flag, command].concat(), [command, flag].concat()] {
            let output = run(folder, &arguments, "");
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {told}");
            assert!(told.contains(flag[0]) && told.contains(command[0]), "{arguments:?}: {told}");
        }
    }
    for arguments in
        [["--pipe", "a", "serve", "--listen", "b"], ["serve", "--pipe", "a", "--listen", "b"], ["--trace", "a", "serve", "--record", "b"]]
    {
        let output = run(folder, &arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with"), "{output:?}");
    }
    assert_eq!(std::fs::read_dir(folder).expect("the folder can be read").count(), 0);
}

#[test]
fn the_calls_of_commands_are_traced() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let trace = folder.join("trace.ndjson");
    let trace = trace.to_str().expect("the name is UTF-8");
    expect(folder, &["--trace", trace, "set", "key", "value"], 0, "");
    expect(folder, &["get", "key", "--trace", trace], 0, "value");
    let lines = std::fs::read_to_string(trace).expect("the file was written");
    assert_eq!(lines.lines().count(), 8, "{lines}");
    assert!(lines.contains(r#""method":"storage/getItem","params":[1,"key"]}"#) && lines.contains(r#""result":"value"}"#), "{lines}");
    expect(folder, &["replay", trace], 0, "");
}

#[test]
fn origins_lists_the_one_that_is_named() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    for origin in ["https://a.test", "https://b.test"] {
        expect(folder, &["set", "key", "value", "--origin", origin], 0, "");
    }
    for arguments in [["origins", "--origin", "https://B.test:443"], ["--origin", "https://b.test", "origins"]] {
        let output = run(folder, &arguments, "");
        let listed = String::from_utf8_lossy(&output.stdout);
        assert!(listed.starts_with("https://b.test ") && listed.lines().count() == 1, "{arguments:?}: {listed}");
    }
    expect(folder, &["origins", "--origin", "https://c.test"], 1, "");
}

#[test]
fn an_error_of_a_call_is_told_in_full() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let call = ["call", "setItem", r#"{"key":"k","value":"long"}"#, "--quota", "4"];
    let output = run(folder, &call, "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    let data = r#"{"name":"QuotaExceededError","quota":4,"requested":10,"usage":0}"#;
    assert!(lines[0].starts_with("webstorage-server: The quota of 4 bytes"), "{told}");
    assert_eq!(lines[1..], [data]);
    let output = run(folder, &[&call[..], &["--json"]].concat(), "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    expect(folder, &["set", "--json-input", r#""k""#, r#""\ud800""#], 0, "");
    let unmet = ["call", "--json", "storage/transact", r#"{"if":[{"key":"k","value":"x"}],"clear":true}"#];
    for (flags, held) in [([].as_slice(), r"\ud800"), (&["--ill-formed-strings", "replace"], "\u{FFFD}")] {
        let output = run(folder, &[&unmet[..], flags].concat(), "");
        let data = format!(r#""data":{{"name":"ConstraintError","unmet":[{{"key":"k","value":"{held}"}}]}}}}"#);
        assert!(String::from_utf8_lossy(&output.stderr).trim_end().ends_with(&data), "{output:?}");
    }
    assert!(told.starts_with(r#"{"code":22,"message":"The quota"#) && told.ends_with(&format!("\"data\":{data}}}\n")), "{told}");
}

#[test]
fn the_area_is_handle_one_wherever_a_method_takes_handles() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "--json-input", r#""k""#, r#""\ud800""#], 0, "");
    let state = r#"{"state":{"k":"\ud800"},"areas":1,"items":1}"#;
    expect(folder, &["call", "storage/export", r#"{"storages":[1],"format":"flat"}"#], 0, &format!("{state}\n"));
    expect(folder, &["call", "storage/export", r#"[null,[1],"flat"]"#], 0, &format!("{state}\n"));
    expect(folder, &["call", "storage/flush", "[1]"], 0, "null\n");
    let output = run(folder, &["call", "storage/import", r#"{"storage":1,"state":{"other":"\udfff"}}"#], "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"added\":1"), "{output:?}");
    let output = run(folder, &["call", "storage/open", r#"{"persistent":false,"copyOf":1}"#], "");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(r#"{"storage":2,"#), "{output:?}");
    // Where a method needs none, none is opened.
    expect(folder, &["call", "storage/origins", "--origin", "https://other.test"], 0, &{
        let listed = run(folder, &["call", "storage/origins"], "");
        String::from_utf8_lossy(&listed.stdout).into_owned()
    });
    expect(folder, &["call", "storage/flush", "--origin", "https://other.test"], 0, "null\n");
    expect(folder, &["origins", "--origin", "https://other.test"], 1, "");
}

#[test]
fn an_empty_variable_is_an_absent_one() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("HOME", folder).env("WEBSTORAGE_DIR", "").env_remove("XDG_DATA_HOME").env("RUST_LOG", "");
        command.stdin(Stdio::null()).output().expect("the program was built")
    };
    for arguments in [["set", "key", "value"].as_slice(), &["get", "key"], &["--no-persistent"], &["serve"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    }
    assert!(folder.join(".local/share/webstorage/bottles").is_dir());
    for arguments in [["get", "key", "--storage-dir", ""].as_slice(), &["--storage-dir", ""]] {
        assert_eq!(run(arguments).status.code(), Some(2), "a flag is not left out by mistake: {arguments:?}");
    }
}

#[test]
fn the_log_says_nothing_of_what_clients_send() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    for (flag, told) in [(None, false), (Some("--log-values"), true)] {
        let log = folder.join(format!("log {told}"));
        let mut arguments = vec!["--log-file", log.to_str().expect("the name is UTF-8")];
        arguments.extend(flag);
        let output = run(folder, &arguments, "Some-Header 1234 password=secret\r\n\r\n");
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains("secret"), "the client is told what it sent: {output:?}");
        let logged = std::fs::read_to_string(&log).expect("the log was written");
        assert!(logged.contains("headers are broken") && logged.contains("secret") == told, "{logged}");
        assert_eq!(crate::folder::mode(&log), 0o600);
    }
}

#[test]
fn help_says_what_is_needed_and_what_excludes_what() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let told = |arguments: &[&str]| {
        let output = run(folder, arguments, "");
        let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let help = told(&["delete", "--help"]);
    assert!(help.contains("delete [OPTIONS] <ORIGIN>") && help.contains("required unless --origin names it"), "{help}");
    let help = told(&["--help"]);
    assert!(help.contains("not together with --record") && help.contains("not together with --trace"), "{help}");
    for method in ["exit", "workspace/executeCommand"] {
        let refused = told(&["call", method]);
        assert!(refused.contains("the connection of a server") && !refused.contains("there is no method"), "{refused}");
    }
}

#[test]
fn changes_of_other_processes_are_watched() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let storage = folder.join("storage");
    let mut writer = Peer::start(Framing::Lines, ["--storage-dir", storage.to_str().expect("the name is UTF-8")]);
    writer.call(r#"{"jsonrpc":"2.0","id":0,"method":"storage/open","params":[true]}"#);
    let watching = Command::new(PROGRAM)
        .args(["watch", "--count", "3", "--prefix", "a"])
        .env("WEBSTORAGE_DIR", &storage)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was built");
    // The watcher begins at some moment during this; from then on it sees every change, and three are enough.
    let watched = std::thread::spawn(move || watching.wait_with_output().expect("the watcher ends"));
    let mut n = 0;
    while !watched.is_finished() {
        n += 1;
        writer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"setItem","params":[1,"a","{n}"]}}"#));
        writer.call(r#"{"jsonrpc":"2.0","id":2,"method":"setItem","params":[1,"b","ignored"]}"#);
    }
    let output = watched.join().expect("the watcher's output was read");
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let values: Vec<u32> = lines
        .iter()
        .map(|line| line.strip_prefix("set      a = ").and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{line}")))
        .collect();
    assert!(values.len() == 3 && values[1] == values[0] + 1 && values[2] == values[1] + 1, "{values:?}");
}

#[test]
fn recorded_conversations_are_held_again() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let conversation = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":"two","method":"storage/open","params":[true]}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":3,"method":"setItem","params":[1,"${x}","$y \ud800"]}"#,
        "\n",
        "no json\n",
        r#"{"jsonrpc":"2.0","id":4,"method":"storage/entries","params":[1]}"#,
        "\n",
    );
    for (flag, name) in [("--trace", "trace.ndjson"), ("--record", "transcript.txt")] {
        let file = folder.join(name);
        let file = file.to_str().expect("the name is UTF-8");
        let storage = folder.join(flag);
        let storage = storage.to_str().expect("the name is UTF-8");
        assert_eq!(run(folder, &["serve", "--storage-dir", storage, flag, file], conversation).status.code(), Some(0));
        expect(folder, &["replay", file], 0, "");
        // Another value, and the recorded reply is no longer what comes.
        let recorded = std::fs::read_to_string(file).expect("the file was written");
        let changed = recorded.replacen("y \\ud800", "z \\ud800", 1);
        assert_ne!(recorded, changed, "{recorded}");
        std::fs::write(file, changed).expect("the folder is writable");
        let output = run(folder, &["replay", file], "");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(shown.contains("y \\ud800") && shown.contains("z \\ud800"), "{shown}");
    }
    expect(folder, &["replay", "absent.txt"], 1, "");
    // One file for several processes, which each count their connections from 1.
    let file = folder.join("appended.ndjson");
    let file = file.to_str().expect("the name is UTF-8");
    for storage in ["--storage-dir=appended", "--no-persistent"] {
        let open = r#"{"jsonrpc":"2.0","id":1,"method":"storage/open","params":[false]}"#;
        assert_eq!(run(folder, &["serve", storage, "--trace", file], &format!("{open}\n")).status.code(), Some(0));
    }
    expect(folder, &["replay", file], 0, "");
}

#[test]
fn completions_and_manual_are_generated() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    for (arguments, part) in [
        (&["completions", "bash"][..], "_webstorage__server()"),
        (&["completions", "zsh"], "#compdef"),
        (&["man"], ".TH webstorage-server"),
    ] {
        let output = run(folder.path(), arguments, "");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(part), "{arguments:?}: {text}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["man", "--directory", folder.to_str().expect("the name is UTF-8")], 0, "");
    let read = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.1"))).unwrap_or_else(|error| panic!("{name}: {error}"));
    let program = read("webstorage-server");
    let named: Vec<String> = program.lines().filter_map(|line| line.strip_suffix("(1)")).map(|name| name.replace("\\-", "-")).collect();
    assert!(named.contains(&"webstorage-server-get".to_owned()), "{named:?}");
    for name in &named {
        let page = read(name);
        let version = format!(".TH {name} 1  \"webstorage-server {}\"", env!("CARGO_PKG_VERSION"));
        assert!(page.contains(&version) && page.contains(".SH SYNOPSIS"), "{name}: {page}");
        let command = name.strip_prefix("webstorage-server-").expect("every command is the program's");
        expect(folder, &["man", command], 0, &page);
    }
    let pages = std::fs::read_dir(folder).expect("the folder can be read").count();
    assert_eq!(pages, named.len() + 1, "the program's page names all others");
    expect(folder, &["man", "frobnicate"], 2, "");
    expect(folder, &["man", "--directory", "/dev/null/absent"], 4, "");
}
