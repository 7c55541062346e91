//! Files that are no regular ones: links are followed, and what a program reads or writes is not replaced.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, makedev, mknodat};
use webstorage_server::transcript::Framing;

use crate::command_line::{expect, run};
use crate::folder::mode;
use crate::peer::{PROGRAM, Peer};

const STATE: &str =
    "{\"cookies\":[],\"origins\":[{\"origin\":\"http://localhost\",\"localStorage\":[{\"name\":\"a\",\"value\":\"1\"}]}]}\n";

fn text(path: &Path) -> &str {
    path.to_str().expect("the name is UTF-8")
}

/// A FIFO, and where the test may make one a device like /dev/null, which nothing but the test uses.
fn special_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let fifo = folder.join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, 0o600.into(), 0).expect("the name is free");
    let device = folder.join("device");
    let made = mknodat(CWD, &device, FileType::CharacterDevice, 0o600.into(), makedev(1, 3));
    std::iter::once(fifo).chain(made.is_ok().then_some(device)).collect()
}

#[test]
fn an_export_replaces_no_special_file() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "a", "1"], 0, "");
    let mut paths = special_files(folder);
    paths.push(folder.join("link"));
    symlink("fifo", &paths[paths.len() - 1]).expect("the name is free");
    paths.extend([folder.to_owned(), "/proc/self/fd/1".into()]);
    let mut peer = Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.join("storage").as_os_str()]);
    for path in &paths {
        let output = run(folder, &["export", "--output", text(path)], "");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{}: {told}", path.display());
        assert!(told.contains("no regular file") && told.contains("redirect standard output"), "{told}");
        for method in ["export", "import"] {
            let reply =
                peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/{method}","params":{{"path":"{}"}}}}"#, text(path)));
            assert!(reply.contains("-32602") && reply.contains("\"param\":\"path\"") && reply.contains("no regular file"), "{reply}");
        }
    }
    for path in &paths[..paths.len() - 3] {
        let kind = fs::symlink_metadata(path).expect("it is there").file_type();
        assert!(kind.is_fifo() || kind.is_char_device(), "{} was replaced", path.display());
    }
    assert!(fs::symlink_metadata(folder.join("link")).expect("it is there").is_symlink());
}

#[test]
fn an_export_follows_links() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    expect(folder, &["set", "a", "1"], 0, "");
    let elsewhere = folder.join("elsewhere");
    fs::create_dir(&elsewhere).expect("the name is free");
    let target = elsewhere.join("state.json");
    let (link, second) = (folder.join("link"), folder.join("second"));
    symlink("elsewhere/state.json", &link).expect("the name is free");
    symlink(&link, &second).expect("the name is free");
    for before in [None, Some(""), Some(r#"{"cookies":[{"name":"c"}],"origins":[]}"#)] {
        if let Some(before) = before {
            fs::write(&target, before).expect("the folder is writable");
        }
        expect(folder, &["export", "--output", text(&second)], 0, "");
        let cookies = if before.is_some_and(|before| !before.is_empty()) { r#"[{"name":"c"}]"# } else { "[]" };
        let written = fs::read_to_string(&target).expect("the target of the links was written");
        assert_eq!(written, STATE.replace("[],\"origins\"", &format!("{cookies},\"origins\"")));
        assert_eq!(mode(&target), 0o600);
        assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 1, "nothing is left beside it");
        assert!([&link, &second].iter().all(|link| fs::symlink_metadata(link).expect("it is there").is_symlink()));
    }
    let circle = folder.join("circle");
    symlink("circle", &circle).expect("the name is free");
    expect(folder, &["export", "--output", text(&circle)], 4, "");
}

/// Runs a line of a shell in which `$W` is the program.
fn shell(folder: &Path, line: &str) -> std::process::Output {
    let mut command = Command::new("bash");
    command.args(["-c", line]).env("W", PROGRAM).env("WEBSTORAGE_DIR", folder.join("storage")).env_remove("RUST_LOG");
    command.current_dir(folder).stdin(Stdio::null()).output().expect("there is a shell")
}

#[test]
fn a_state_is_imported_from_another_program() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    fs::write(folder.join("state"), STATE).expect("the folder is writable");
    mknodat(CWD, folder.join("fifo"), FileType::Fifo, 0o600.into(), 0).expect("the name is free");
    for line in [
        "\"$W\" import <(cat state)",
        "cat state > fifo & \"$W\" import fifo",
        "cat state | \"$W\" import /dev/stdin",
        "\"$W\" import /dev/stdin < state",
        "\"$W\" import - < state",
    ] {
        let output = shell(folder, &format!("{line} && \"$W\" clear"));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, "http://localhost  local    1 added, 0 changed, 0 removed, 0 as they were\n", "{line}: {output:?}");
    }
    let output = shell(folder, "\"$W\" import .");
    assert!(output.status.code() == Some(4) && String::from_utf8_lossy(&output.stderr).contains(". could not be read"), "{output:?}");
    let output = shell(folder, "\"$W\" import <(echo no state)");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && told.contains("is not JSON"), "{told}");
}

#[test]
fn standard_input_without_end_is_refused() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    for command in ["set key", "import -"] {
        let output = shell(folder, &format!("head -c 80000000 /dev/zero | \"$W\" {command}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("standard input") && told.contains("67108864"), "{told}");
    }
    let output = shell(folder, "printf '\\377' | \"$W\" set key");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("the folder is writable");
    symlink("circle", folder.join("circle")).expect("the name is free");
    symlink("absent", folder.join("dangling")).expect("the name is free");
    symlink("..", folder.join("up")).expect("the name is free");
    write("latin", b"{\"a\":\n\"\xe9\"}");
    write("wide", b"\xff\xfe{\0}\0");
    write("control", b"{\"k\":\n\"a\tb\"}");
    write("empty", b"");
    write("cut off", b"{\"k\":\"v\"");
    let mut peer = Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.join("storage").as_os_str()]);
    let mut call = |method: &str, path: &Path, more: &str| {
        let path = serde_json::Value::from(text(path));
        peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/{method}","params":{{"path":{path}{more}}}}}"#))
    };
    for (name, code, told) in [
        ("absent", 8, "there is no file"),
        ("dangling", 8, "there is no file"),
        ("circle", 100, "could not be read"),
        ("up", -32602, "is no regular file"),
        ("latin/x", 100, "could not be read"),
        ("a\0b", -32602, "no file can have the name"),
        ("latin", -32602, "is not UTF-8 (in line 2)"),
        ("wide", -32602, "is not UTF-8 (in line 1)"),
        ("control", -32602, "line 2 column 2: not JSON (control character"),
        ("empty", -32602, "line 1 column 1: not JSON"),
        ("cut off", -32602, "line 1 column 8: not JSON"),
    ] {
        let path = folder.join(name);
        let shown = name.replace('\0', "\\\\u0000");
        for (method, more) in [("import", ""), ("import", r#","format":"flat""#), ("export", "")] {
            if method == "export" && matches!(name, "absent" | "dangling" | "empty") {
                continue;
            }
            let reply = call(method, &path, more);
            let named = reply.contains(&format!("{}/{shown}", text(folder)));
            assert!(reply.contains(told) && named, "{method} {name}: {reply}");
            assert!(reply.contains(&format!("\"code\":{code},")), "{method} {name}: {reply}");
        }
    }
    assert_eq!(fs::read(folder.join("control")).expect("it is there"), b"{\"k\":\n\"a\tb\"}", "no export has replaced it");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    fs::write(folder.join("state"), format!("\u{FEFF}{STATE}")).expect("the folder is writable");
    fs::write(folder.join("two"), format!("\u{FEFF}\u{FEFF}{STATE}")).expect("the folder is writable");
    for line in ["\"$W\" import state", "\"$W\" import - < state", "\"$W\" export --output state && \"$W\" import state"] {
        let output = shell(folder, line);
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
    }
    assert_eq!(fs::read_to_string(folder.join("state")).expect("it was written"), STATE);
    for line in ["\"$W\" import two", "\"$W\" import - < two", "\"$W\" export --output two"] {
        let output = shell(folder, line);
        assert_eq!(output.status.code(), Some(3), "{line}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not JSON"), "{line}: {output:?}");
    }
}

#[test]
fn only_json_is_read_as_json() {
    let folder = tempfile::tempdir().expect("the temporary directory is writable");
    let folder = folder.path();
    for line in ["\"$W\" set --json-input $'\"a\\tb\"' '\"\"'", "\"$W\" set --json-input '\"a\"' $'\"a\\tb\"'"] {
        let output = shell(folder, line);
        assert_eq!(output.status.code(), Some(3), "{line}: {output:?}");
    }
    expect(folder, &["list"], 0, "");
}
