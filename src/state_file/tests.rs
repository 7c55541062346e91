use super::*;
use crate::dom_string::{DomString, IllFormed};
use crate::error::Error;

const STATE: Source<'static> = Source::Param("state");

fn items(pairs: &[(&str, &str)]) -> Items {
    let bytes = |json: &str| serde_json::from_str::<DomString<'_>>(json).expect("the test's own JSON").into_bytes();
    pairs.iter().map(|(key, value)| (bytes(key), bytes(value))).collect()
}

fn origin(text: &str) -> Origin {
    Origin::parse(text).expect("the test's own origin")
}

fn one(items: Items) -> State {
    State { origins: vec![OriginState { local: Some(items), ..OriginState::default() }], others: Vec::new() }
}

/// What is said of a text in a file that is refused.
fn refused(text: &str) -> String {
    let source = Source::File(std::path::Path::new("/s.json"));
    match parse(source, text, None).expect_err("it is refused") {
        Error::InvalidParams { param, message } => {
            assert_eq!(param.as_deref(), Some("path"), "{message}");
            message
        }
        Error::Security(message) => message,
        other => panic!("{text}: {other}"),
    }
}

#[test]
fn every_form_keeps_every_string_and_the_order() {
    let items = items(&[(r#""10""#, r#""\ud800""#), (r#""\udfff\u0000""#, r#""""#), (r#""2""#, r#""😀\\""#), (r#""__proto__""#, r#""x""#)]);
    let state = OriginState { origin: Some(origin("https://a.test")), local: Some(items.clone()), session: Some(items.clone()) };
    let text = write_storage_state(None, std::slice::from_ref(&state), IllFormed::Escape).expect("there is no base");
    assert_eq!(parse(STATE, &text, None).expect("it was just written").origins, [state]);
    for text in [write_flat(&items, IllFormed::Escape), write_pairs(&items, IllFormed::Escape)] {
        assert_eq!(parse(STATE, &text, None).expect("it was just written"), one(items.clone()), "{text}");
    }
    for text in [write_flat(&Vec::new(), IllFormed::Escape), write_pairs(&Vec::new(), IllFormed::Escape)] {
        assert_eq!(parse(STATE, &text, None).expect("it was just written"), one(Vec::new()), "{text}");
    }
}

#[test]
fn what_is_not_web_storage_stays() {
    let base = r#"{"x":1.0,"cookies":[{"name":"c"}],"origins":[{"origin":"https://b.test","localStorage":[]},
            {"indexedDB":[1],"localStorage":[{"name":"old","value":""}],"origin":"https://a.test"}],"y":"\ud800"}"#;
    let new = OriginState { origin: Some(origin("https://a.test")), local: Some(items(&[("\"n\"", "\"v\"")])), session: None };
    let written = write_storage_state(Some((Source::Param("base"), base)), &[new], IllFormed::Escape).expect("the base is sound");
    assert_eq!(
        written,
        r#"{"x":1.0,"cookies":[{"name":"c"}],"origins":[{"origin":"https://b.test","localStorage":[]},{"indexedDB":[1],"localStorage":[{"name":"n","value":"v"}],"origin":"https://a.test"}],"y":"\ud800"}"#
    );
    let state = parse(STATE, &written, None).expect("it was just written");
    assert_eq!(state.others, ["x", "cookies", "y", "origins[1].indexedDB"]);
}

#[test]
fn other_parts_may_be_of_any_depth() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let base = format!(r#"{{"cookies":{deep},"origins":[]}}"#);
    let source = Source::File(std::path::Path::new("/s.json"));
    assert_eq!(parse(source, &base, None).expect("it is a storageState").others, ["cookies"]);
    assert_eq!(write_storage_state(Some((source, &base)), &[], IllFormed::Escape).expect("it is a storageState"), base);
}

#[test]
fn what_is_written_replaces_every_spelling_of_its_origin() {
    let base = r#"{"cookies":[],"origins":[{"origin":"HTTPS://A.test:443/","localStorage":[{"name":"old","value":""}]},
        {"origin":"https://b.test"},{"origin":"https://a.test/x","localStorage":[{"name":"stale","value":""}],"sessionStorage":[{"name":"s","value":""}]},
        {"origin":"https://a.test.","localStorage":[]},{"origin":"https://a.TEST","localStorage":[]},{"origin":"data:,x"},{"name":1}]}"#;
    let new = OriginState { origin: Some(origin("https://a.test")), local: Some(items(&[("\"n\"", "\"v\"")])), session: None };
    let opaque = OriginState { origin: Some(origin("null")), local: None, session: Some(Items::new()) };
    let written = write_storage_state(Some((Source::Param("base"), base)), &[new, opaque], IllFormed::Escape).expect("the base is sound");
    assert_eq!(
        written,
        concat!(
            r#"{"cookies":[],"origins":[{"origin":"https://a.test","localStorage":[{"name":"n","value":"v"}]},{"origin":"https://b.test"},"#,
            r#"{"origin":"https://a.test/x","sessionStorage":[{"name":"s","value":""}]},{"origin":"https://a.test.","localStorage":[]},"#,
            r#"{"origin":"data:,x"},{"name":1},{"origin":"null","sessionStorage":[]}]}"#
        )
    );
}

#[test]
fn entries_of_one_origin_are_one() {
    let text = r#"{"origins":[{"origin":"https://A.test","localStorage":[{"name":"a","value":"1"},{"name":"both","value":"x"}]},
        {"origin":"https://b.test","sessionStorage":[]},
        {"origin":"https://a.test:443/","localStorage":[{"name":"both","value":"x"},{"name":"b","value":"2"}],"sessionStorage":[{"name":"a","value":"s"}]}]}"#;
    let all = items(&[(r#""a""#, r#""1""#), (r#""both""#, r#""x""#), (r#""b""#, r#""2""#)]);
    let session = Some(items(&[(r#""a""#, r#""s""#)]));
    assert_eq!(
        parse(STATE, text, None).expect("no item has two values").origins,
        [
            OriginState { origin: Some(origin("https://a.test")), local: Some(all), session },
            OriginState { origin: Some(origin("https://b.test")), local: None, session: Some(Items::new()) },
        ]
    );
    let text = "{\"origins\":[{\"origin\":\"https://a.test\",\"localStorage\":[{\"name\":\"k\",\"value\":\"1\"}]},\n {\"origin\":\"https://A.test\",\
                \"localStorage\":[{\"name\":\"a\",\"value\":\"1\"},\n{\"name\":\"k\",\"value\":\"2\"}]}]}";
    assert_eq!(
        refused(text),
        "/s.json, line 3 column 1: origins[1].localStorage[1]: the key \"k\" has another value in origins[0].localStorage[0]; each key can have one"
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (text, named) in [
        (r#"{"origins":[{"localStorage":[]}]}"#, "state.origins[0].origin"),
        (r#"{"origins":[{"origin":"https://a.test","localStorage":[{"name":"a","value":1}]}]}"#, "state.origins[0].localStorage[0].value"),
        (r#"{"a":1}"#, "state[\"a\"]"),
        (r#"[["a"]]"#, "state[0]"),
        ("5", "state"),
    ] {
        let Err(Error::InvalidParams { param, .. }) = parse(STATE, text, None) else { panic!("{text} is wrong") };
        assert_eq!(param.as_deref(), Some(named), "{text}");
    }
}

#[test]
fn what_is_wrong_in_a_file_has_its_place_in_the_file() {
    let local = |items: &str| format!("{{\"cookies\":[],\n\"origins\":[{{\"origin\":\"https://a.test\",\n\"localStorage\":{items}}}]}}");
    for (text, expected) in [
        ("{", "line 1 column 1: not JSON (EOF while parsing an object)".to_owned()),
        ("", "line 1 column 1: not JSON (EOF while parsing a value)".to_owned()),
        ("{\"é\": \"a\tb\"}", "line 1 column 8: not JSON (control character (\\u0000-\\u001F) found while parsing a string)".to_owned()),
        ("{\n\"a\nb\": \"\"}", "not JSON (control character".to_owned()),
        ("{\"origins\":[],\"a\nb\": \"\"}", "not JSON (control character".to_owned()),
        ("{\"a\":\"1\"}\n{}", "line 2 column 1: not JSON (trailing characters)".to_owned()),
        ("\u{FEFF}{}", "line 1 column 1: not JSON".to_owned()),
        ("\u{A0}{}", "line 1 column 1: not JSON".to_owned()),
        ("{\"a\":\"\\x\"}", "not JSON (invalid escape)".to_owned()),
        ("{'a':'b'}", "not JSON".to_owned()),
        ("[[\"a\",\"b\"],]", "line 1 column 12: not JSON (expected value)".to_owned()),
        ("null", "line 1 column 1: expected an object of strings, found null".to_owned()),
        (" \"a\"", "line 1 column 2: expected an object of strings, found a string".to_owned()),
        ("{\"a\":\"1\",\n\"b\":{}}", "line 2 column 5: [\"b\"]: expected a string, found an object".to_owned()),
        ("{\"é\":\"1\", \"é\":\"2\"}", "line 1 column 15: [\"é\"]: the key \"é\" has another value before".to_owned()),
        ("[[\"a\",\"1\"],\n5]", "line 2 column 1: [1]: expected a pair of strings, found 5".to_owned()),
        ("[[\"a\",\"1\",\"2\"]]", "[0]: expected a pair of strings, found an array of 3".to_owned()),
        ("[[\"a\",\nnull]]", "line 2 column 1: [0][1]: expected a string, found null (of the item \"a\")".to_owned()),
        ("[[\"a\",\"1\"],[\"a\",\"\"]]", "line 1 column 12: [1]: the key \"a\" has another value in [0]".to_owned()),
        ("{\"origins\":[],\"origins\":[]}", "line 1 column 25: origins: it is there twice".to_owned()),
        ("{\"cookies\":[],\"origins\":{}}", "line 1 column 25: origins: expected an array, found an object".to_owned()),
        ("{\"origins\":[5]}", "line 1 column 13: origins[0]: expected an object, found 5".to_owned()),
        ("{\"origins\":[{\"origin\":5}]}", "origins[0].origin: expected a string, found 5".to_owned()),
        ("{\"origins\":[{\"origin\":\"\\ud800\"}]}", "origins[0].origin: a lone surrogate".to_owned()),
        ("{\"origins\":[{\"origin\":\"a.test\"}]}", "line 1 column 23: origins[0].origin: expected an origin such as".to_owned()),
        (
            &local("null"),
            "line 3 column 16: origins[0].localStorage: expected an array of {name, value} with strings, found null".to_owned(),
        ),
        (
            &local("[\n{\"name\":\"a\",\"value\":\"1\"},\n{\"name\":\"b\",\"value\":5}]"),
            "line 5 column 21: origins[0].localStorage[1].value: expected a string, found 5 (of the item \"b\")".to_owned(),
        ),
        (&local("[{\"name\":null,\"value\":5}]"), "origins[0].localStorage[0].name: expected a string, found null".to_owned()),
        (&local("[{\"name\":\"a\"}]"), "line 3 column 17: origins[0].localStorage[0].value: missing".to_owned()),
        (&local("[{\"name\":\"a\",\"value\":\"\",\"name\":\"a\"}]"), "origins[0].localStorage[0].name: it is there twice".to_owned()),
        (&local("[[\"a\",\"1\"]]"), "origins[0].localStorage[0]: expected an object, found an array".to_owned()),
        (&local("[],\"localStorage\":[]"), "origins[0].localStorage: it is there twice".to_owned()),
        (
            "{\"origins\":[{\"origin\":\"https://a.test\"},\n{\"origin\":\"file://\",\"localStorage\":[{\"name\":\"a\",\"value\":\"\"}]}]}",
            "line 2 column 11: origins[1].origin: \"file://\" is an opaque origin".to_owned(),
        ),
    ] {
        let told = refused(text);
        assert!(told.starts_with("/s.json, line ") && told.contains(&expected), "{text}: {told}");
    }
}

#[test]
fn what_else_items_have_is_told() {
    let text = r#"{"origins":[{"origin":"https://a.test","localStorage":[{"name":"a","value":"1","x":null},
        {"name":"b","value":"1","expires":5,"x":[ ]},{"expires":6,"name":"c","value":"1"}]},{"origin":"null","localStorage":[]}]}"#;
    let state = parse(STATE, text, None).expect("no item is wrong");
    assert_eq!(state.others, ["origins[0].localStorage[1].expires"]);
    assert_eq!(state.origins[0].local.as_ref().map(Vec::len), Some(3));
    assert_eq!(state.origins[1], OriginState { origin: Some(origin("null")), local: None, session: None });
}

#[test]
fn a_file_that_is_no_storage_state_is_no_base() {
    let write = |base| write_storage_state(Some((Source::File(std::path::Path::new("/s.json")), base)), &[], IllFormed::Escape);
    for base in ["{\"a\":\"1\"}", "[]", "{\"origins\":5}", "{\"cookies\":[]} x", "{\"cookies\":[],\"a\nb\":1}"] {
        let error = write(base).expect_err("it is refused").to_string();
        assert!(error.starts_with("Invalid params: /s.json, line 1 column "), "{base}: {error}");
    }
    assert_eq!(write("{}").expect("nothing is in it"), "{\"origins\":[]}");
    assert_eq!(write(" {\"cookies\": [1]}\n").expect("it is a storageState"), "{\"cookies\":[1],\"origins\":[]}");
}
