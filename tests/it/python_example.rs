//! The client in `examples/client.py`, which uses Python's standard library and nothing else.

use std::process::Command;

use crate::peer::PROGRAM;

#[test]
fn the_client_in_python_works() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/client.py");
    let output = Command::new("python3").args([example, PROGRAM]).output().expect("Python 3 is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let expected = "['theme', '\\ud800'] dark\n[('theme', 'dark'), ('\\ud800', 'a lone surrogate')]\nQuotaExceededError 22\nexit code 0\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{errors}");
    let source = std::fs::read_to_string(example).expect("the example is there");
    assert!(source.lines().count() <= 60, "a client needs no more than 60 lines");
    let imports = source.lines().filter(|line| line.starts_with("import") || line.starts_with("from")).collect::<Vec<_>>();
    assert_eq!(imports, ["import json", "import subprocess", "import sys"]);
}
