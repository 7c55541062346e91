//! The commands of the README work as they are typed, one after the other, in a fresh clone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::peer::PROGRAM;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A block of the README: what the comment before it says, its language and its lines.
struct Block {
    comment: String,
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("there is a README");
    let (mut blocks, mut before, mut open) = (Vec::<Block>::new(), "", None::<Block>);
    for line in readme.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
            (None, Some(language)) => {
                let comment = before.strip_prefix("<!-- ").and_then(|comment| comment.strip_suffix(" -->")).unwrap_or_default();
                open = Some(Block { comment: comment.to_owned(), language: language.to_owned(), text: String::new() });
            }
            (None, None) => {}
        }
        before = line;
    }
    blocks
}

/// A clone as it is before anything was built. What builds the program here links the one under test instead.
fn clone(directory: &Path) {
    let bin = directory.join("bin");
    fs::create_dir(&bin).expect("the directory is writable");
    fs::create_dir(directory.join("examples")).expect("the name is free");
    for name in ["conversation", "conversation.ndjson"] {
        fs::copy(Path::new(ROOT).join("examples").join(name), directory.join("examples").join(name)).expect("the example is there");
    }
    let cargo = bin.join("cargo");
    fs::write(
        &cargo,
        format!("#!/bin/sh\n[ \"$*\" = 'build --release --locked' ] && mkdir -p target/release && ln -sf {PROGRAM} target/release/\n"),
    )
    .expect("the directory is writable");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}

fn bash(directory: &Path, script: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(directory).stdin(Stdio::null());
    command.env("PATH", format!("{}/bin:{path}", directory.display())).env("HOME", directory.join("home"));
    command.env_remove("WEBSTORAGE_DIR").env_remove("XDG_DATA_HOME").env_remove("RUST_LOG").stderr(Stdio::inherit());
    command
}

/// Runs a script that must succeed, and gives what it prints.
fn run(directory: &Path, script: &str) -> String {
    let output = bash(directory, script).output().expect("bash is installed");
    assert!(output.status.success(), "{script}\n{output:?}");
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// A process that is killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Runs a command that does not end by itself, until it has printed something about what another one does meanwhile.
fn run_beside(directory: &Path, setting: &str, script: &str, other: &str) -> String {
    use std::io::{BufRead, BufReader};
    let mut watching =
        bash(directory, &format!("{setting}\nexec {script}")).stdout(Stdio::piped()).spawn().map(Killed).expect("bash is installed");
    let output = watching.0.stdout.take().expect("the output is a pipe");
    let line = std::thread::spawn(move || BufReader::new(output).lines().next());
    for n in 0.. {
        if line.is_finished() {
            break;
        }
        run(directory, &format!("{setting}\n{}", other.replace("$n", &n.to_string())));
    }
    let line = line.join().expect("reading does not panic");
    line.expect("something was printed").expect("the output is UTF-8")
}

#[test]
fn the_commands_of_the_readme_work_as_they_are_typed() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let directory = directory.path();
    clone(directory);
    let has_jq = Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_ok();
    let blocks = blocks();
    let (mut setting, mut ran) = (String::new(), 0);
    for (block, next) in blocks.iter().zip(blocks.iter().skip(1).map(Some).chain([None])) {
        let Block { comment, language, text } = block;
        match (comment.as_str(), language.as_str()) {
            ("runs", "sh") => {
                run(directory, &format!("{setting}{text}"));
                // What is set holds for the blocks after it.
                setting.extend(text.lines().filter(|line| line.starts_with("PATH=")).flat_map(|line| [line, "\n"]));
                ran += 1;
            }
            ("runs with jq, and prints", "sh") => {
                let shown = next.filter(|next| next.language == "json").expect("what is printed is shown after it");
                if has_jq {
                    assert_eq!(run(directory, &format!("{setting}{text}")), shown.text);
                }
                ran += 1;
            }
            ("runs while another process changes something", "sh") => {
                let change = "webstorage-server set theme light$n --origin https://example.com";
                let line = run_beside(directory, &setting, text, change);
                assert!(line.starts_with("set      theme = light"), "{line}");
                ran += 1;
            }
            ("", "json") => {}
            (why, _) if why.starts_with("not run: ") => {}
            _ => panic!("this block says neither how it runs nor why not:\n{text}"),
        }
        if language == "json" {
            let values: Vec<Value> = serde_json::Deserializer::from_str(text)
                .into_iter()
                .collect::<Result<_, _>>()
                .unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(!values.is_empty());
        }
    }
    assert_eq!(ran, 6, "the blocks were found");
    assert!(directory.join("home/.local/share/webstorage/bottles").is_dir());
}
