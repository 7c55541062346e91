//! The check of everything tells of everything, whatever lies in the storage directory.

use std::fs;
use std::path::Path;

use webstorage_server::transcript::Json;

use crate::command_line::{expect, run};
use crate::folder::{Folder, beside};

const A: &str = "https://a.test";
const B: &str = "https://b.test";

/// A storage directory with two bottles, and the temporary directory that it is in.
fn two_bottles() -> (Folder, std::path::PathBuf) {
    let folder = Folder::new();
    let temporary = folder.path().parent().expect("the storage directory is in a temporary one").to_owned();
    for origin in [A, B] {
        expect(&temporary, &["set", "key", "value", "--origin", origin], 0, "");
    }
    (folder, temporary)
}

fn output(directory: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = run(directory, arguments, "");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}{err}");
    (out.into_owned(), err.into_owned())
}

#[test]
fn one_unreadable_file_does_not_hide_the_others() {
    let (folder, temporary) = two_bottles();
    let file = folder.bottle(A);
    fs::write(&file, "lorem ipsum ".repeat(1000)).expect("the directory is ours");
    let path = file.to_str().expect("the name is UTF-8");

    let (out, err) = output(&temporary, &["check"], 1);
    let [unreadable, sound] = out.lines().collect::<Vec<_>>()[..] else { panic!("a line for each file: {out}") };
    assert!(unreadable.starts_with(path) && unreadable.contains("file is not a database"), "{unreadable}");
    assert_eq!(sound, format!("{B}  sound"));
    assert!(!out.contains("close every handle") && err.contains("export"), "{out}{err}");

    let (out, _) = output(&temporary, &["check", "--json"], 1);
    let lines: Vec<Json> = out.lines().map(|line| Json::parse(line.as_bytes()).expect("it is JSON")).collect();
    let [unreadable, sound] = &lines[..] else { panic!("a line for each file: {out}") };
    let member = |json: &Json, name: &str| json.member(name).unwrap_or_else(|| panic!("{name} of {json}")).to_string();
    assert_eq!(["origin", "exists", "damaged"].map(|name| member(unreadable, name)), ["null", "true", "[]"]);
    assert_eq!(member(unreadable, "path"), format!("{path:?}"));
    assert!(member(unreadable, "problems").contains("file is not a database"), "{unreadable}");
    assert_eq!(member(sound, "problems"), "[]");

    for arguments in [["check", A].as_slice(), &["origins"], &["export"]] {
        let (out, err) = output(
            &temporary,
            arguments,
            if arguments[0] == "check" {
                1
            } else if arguments[0] == "origins" {
                0
            } else {
                4
            },
        );
        let told = out + &err;
        assert!(told.contains(path) && !told.contains("close every handle"), "{told}");
        assert!(arguments != ["export"] || told.contains("export the others by naming them"), "{told}");
    }
    output(&temporary, &["export", B], 0);
}

#[test]
fn an_export_that_meets_damage_says_how_to_have_the_others() {
    let (folder, temporary) = two_bottles();
    assert_eq!(run(&temporary, &["set", "long", "--origin", A], &"v".repeat(100_000)).status.code(), Some(0));
    let file = folder.bottle(A);
    let mut bytes = fs::read(&file).expect("the file is ours");
    let (from, to) = (bytes.len() / 8192 * 4096, bytes.len() - 4096);
    bytes[from..to].fill(0xA5);
    fs::write(&file, bytes).expect("the file is ours");
    let (_, err) = output(&temporary, &["export"], 4);
    assert!(err.contains(file.to_str().expect("the name is UTF-8")) && err.contains("export the others by naming them"), "{err}");
    output(&temporary, &["export", B], 0);
    let (_, err) = output(&temporary, &["export", A], 4);
    assert!(!err.contains("the others"), "{err}");
}

#[test]
fn one_origin_that_is_refused_does_not_hide_the_others() {
    let (folder, temporary) = two_bottles();
    let database = rusqlite::Connection::open(folder.bottle(A)).expect("it is a database");
    database.pragma_update(None, "user_version", 99).expect("it can be written");
    drop(database);
    let (out, _) = output(&temporary, &["check"], 1);
    assert!(out.contains("schema 99") && out.contains("use the newer program.") && !out.contains("null"), "{out}");
    assert!(out.contains(&format!("{B}  sound\n")), "{out}");
    let (out, err) = output(&temporary, &["check", A, B], 3);
    assert!(err.contains(&format!("use the newer program for {A}")) && out == format!("{B}  sound\n"), "{out}{err}");
}

#[test]
fn an_empty_file_is_no_storage() {
    let (folder, temporary) = two_bottles();
    fs::write(folder.bottle(A), "").expect("the directory is ours");
    expect(&temporary, &["check", A], 0, &format!("{A}  no storage\n"));
    expect(&temporary, &["check"], 0, &format!("{B}  sound\n"));
    let (out, _) = output(&temporary, &["origins"], 0);
    assert!(out.starts_with(B) && out.lines().count() == 1, "{out}");
    output(&temporary, &["export"], 0);
}

/// SQLite takes an empty file for a new database and deletes the WAL, which is all that is left.
#[test]
fn looking_keeps_the_wal_of_an_emptied_file() {
    let (folder, temporary) = two_bottles();
    let file = folder.bottle(A);
    fs::write(&file, "").expect("the directory is ours");
    let wal = beside(&file, "-wal");
    fs::write(&wal, "what is left").expect("the directory is ours");
    for (arguments, code) in [(["check"].as_slice(), 1), (&["check", A], 1), (&["origins"], 0), (&["export"], 4)] {
        let (out, err) = output(&temporary, arguments, code);
        assert!((out + &err).contains("is empty, but its WAL is not"), "{arguments:?}");
        assert_eq!(fs::read_to_string(&wal).expect("the WAL is kept"), "what is left", "{arguments:?}");
    }
}

#[test]
fn what_was_moved_aside_is_listed_without_its_origin() {
    let (folder, temporary) = two_bottles();
    fs::write(folder.bottle(A), "lorem ipsum ".repeat(1000)).expect("the directory is ours");
    output(&temporary, &["get", "key", "--origin", A], 4);
    let [aside] = &folder.damaged()[..] else { panic!("one file was moved aside: {:?}", folder.damaged()) };
    let name = aside.file_name().and_then(|name| name.to_str()).expect("the name is UTF-8");
    expect(&temporary, &["check"], 0, &format!("{B}  sound\n{}  found damaged before\n", aside.display()));
    let (out, _) = output(&temporary, &["check", "--json"], 0);
    let listed = format!(
        r#"{{"origin":null,"path":{aside:?},"exists":false,"problems":[],"damaged":[{{"file":"{name}","path":{aside:?},"size":12000}}]}}"#
    );
    assert_eq!(out.lines().nth(1), Some(&*listed), "{out}");

    expect(&temporary, &["set", "key", "value", "--origin", A], 0, "");
    expect(&temporary, &["check"], 0, &format!("{A}  sound\n{A}  found damaged before: {name}\n{B}  sound\n"));
}

#[test]
fn check_names_the_way_to_what_can_be_read_of_a_damaged_file() {
    let (folder, temporary) = two_bottles();
    output(&temporary, &["set", "--json-input", r#""other""#, r#""\ud800""#, "--origin", A], 0);
    let (before, _) = output(&temporary, &["export", "--format", "pairs", A], 0);
    // The header names another version of the format, and the rest is as it was.
    let mut bytes = fs::read(folder.bottle(A)).expect("the file is there");
    bytes[18..20].copy_from_slice(&[9, 9]);
    bytes[..16].fill(0);
    fs::write(folder.bottle(A), bytes).expect("the directory is ours");
    output(&temporary, &["get", "key", "--origin", A], 4);
    let [aside] = &folder.damaged()[..] else { panic!("one file was moved aside: {:?}", folder.damaged()) };
    let name = aside.file_name().and_then(|name| name.to_str()).expect("the name is UTF-8");
    let (_, told) = output(&temporary, &["check"], 0);
    let way = told.trim().rsplit_once("webstorage-server ").expect("a command is named").1;
    assert_eq!(way, format!("salvage {name}"), "{told}");
    assert_eq!(before, "[[\"key\",\"value\"],[\"other\",\"\\ud800\"]]\n");
    let words: Vec<&str> = way.split(' ').collect();
    for arguments in [words, vec!["salvage", aside.to_str().expect("the path is UTF-8")]] {
        let (salvaged, _) = output(&temporary, &arguments, 0);
        assert_eq!(salvaged, before, "{arguments:?}");
    }
    let (whole, _) = output(&temporary, &["salvage", "--json", name], 0);
    assert!(whole.starts_with(r#"{"complete":"#) && whole.contains(r#"{"key":"other","value":"\ud800"}"#), "{whole}");
    // It goes back as it came.
    let file = temporary.join("salvaged.json");
    fs::write(&file, &before).expect("the folder is writable");
    output(&temporary, &["import", file.to_str().expect("the path is UTF-8"), "--origin", A], 0);
    assert_eq!(output(&temporary, &["export", "--format", "pairs", A], 0).0, before);
    let (out, told) = output(&temporary, &["check", "--json"], 0);
    assert!(out.contains(name) && told.is_empty(), "{out}{told}");
}
