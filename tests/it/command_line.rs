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
    expect(folder, &["get", "theme"], 0, "dark\n");
    expect(folder, &["get", "theme", "--origin", "https://other.test"], 1, "");
    expect(folder, &["set", "--json", r#""\ud800""#, r#""a\u0000\udfff""#], 0, "");
    expect(folder, &["get", "--json", r#""\ud800""#], 0, "\"a\\u0000\\udfff\"\n");
    expect(folder, &["get", "--json", "no string"], 3, "");
    assert_eq!(run(folder, &["set", "from input"], "line 1\nline 2\n").status.code(), Some(0));
    expect(folder, &["get", "from input"], 0, "line 1\nline 2\n\n");
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
    expect(folder, &["get", "theme"], 0, "-5\n");
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
        expect(temporary, &["get", "key"], 0, "value\n");
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
        expect(temporary, &["get", "key"], 0, "old\n");
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
        expect(folder, &["export", "--origin", "https://a.test", "--format", "flat"], 0, "{}\n");
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
    for (arguments, code, words) in [
        (["get", "key", "--origin", "data:,"].as_slice(), 3, ["null", "--origin"].as_slice()),
        (&["--log", "nonsense"], 2, &["--log \"nonsense\"", "off, error, warn"]),
        (&["import", "absent.json"], 1, &["there is no file"]),
        (&["replay", "absent.txt"], 3, &["there is no file absent.txt"]),
        (&["replay", "text"], 3, &["text:1: `lorem ipsum", "…`", "neither a setting nor a step"]),
        (&["call", "storage/getitem", "[1,\"a\"]"], 3, &["storage/getitem", "storage/getItem"]),
        (&["call", "getItem", "[\"one\",\"a\"]"], 3, &["storage: ", "expected an integer from 0 to 4294967295"]),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(folder).env("HOME", folder).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
        let output = command.stdin(Stdio::null()).output().expect("the program was built");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{told}");
        assert!(told.len() < 300 && words.iter().all(|word| told.contains(word)), "{arguments:?}\n{told}");
        assert!(!told.contains("persistent false") && !told.contains("path: "), "{arguments:?}\n{told}");
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
    expect(folder, &["get", "a"], 0, "1\n");
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

#[test]
fn what_cannot_be_shown_exactly_is_said() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "--json", r#""k""#, r#""a\udfff""#], 0, "");
    let output = run(folder, &["get", "k"], "");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), "a\u{FFFD}\n".as_bytes()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--json"), "{output:?}");
    for (key, value) in [("k", "a\u{FFFD}"), ("plain", "😀")] {
        expect(folder, &["set", key, value], 0, "");
        assert_eq!(String::from_utf8_lossy(&run(folder, &["get", key], "").stderr), "");
    }
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
    expect(folder, &["replay", "absent.txt"], 3, "");
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
