//! State files: items outside of a database, in the forms that people exchange.
//!
//! The default is Playwright's `storageState`, with `sessionStorage` beside `localStorage`. Besides there are
//! a flat object `{key: value}` and pairs `[[key, value], …]`. Strings stay exact, lone surrogates included,
//! and what is not about Web Storage stays as it was.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dom_string::{DomString, IllFormed, write_json};
use crate::error::{Error, Result};
pub use crate::protocol::StateFormat as Format;

/// Keys and values in key order.
pub type Items = Vec<(Vec<u8>, Vec<u8>)>;

/// The items of one origin. What is `None` is not spoken of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OriginState {
    /// The origin, if the form names it.
    pub origin: Option<String>,
    /// The items of the persistent area.
    pub local: Option<Items>,
    /// The items of the session area.
    pub session: Option<Items>,
}

/// What a state file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The origins in the order of the file.
    pub origins: Vec<OriginState>,
    /// The parts that are not about Web Storage, such as `cookies`.
    pub others: Vec<String>,
}

/// An object's members in their order, with any strings as names.
struct Members<'a, V>(Vec<(DomString<'a>, V)>);

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Members<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for InOrder<V> {
            type Value = Vec<(DomString<'de>, V)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData)).map(Members)
    }
}

impl<'a> Members<'a, &'a RawValue> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| own.as_bytes() == name.as_bytes()).map(|(_, value)| value.get())
    }

    fn set<'v>(self, name: &'static str, value: Cow<'v, str>) -> Edited<'v>
    where
        'a: 'v,
    {
        Edited(self.0.into_iter().map(|(name, value)| (name, Cow::Borrowed(value.get()))).collect()).set(name, value)
    }
}

/// The members of an object that is to be written, each as JSON text.
struct Edited<'a>(Vec<(DomString<'a>, Cow<'a, str>)>);

impl<'a> Edited<'a> {
    fn set(mut self, name: &'static str, value: Cow<'a, str>) -> Self {
        match self.0.iter_mut().find(|(own, _)| own.as_bytes() == name.as_bytes()) {
            Some(member) => member.1 = value,
            None => self.0.push((DomString::from(name), value)),
        }
        self
    }

    fn write(&self) -> String {
        let mut out = vec![b'{'];
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_json(name.as_bytes(), IllFormed::Escape, &mut out);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
        into_text(out)
    }
}

/// An item of `localStorage` in a storageState.
#[derive(serde::Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: DomString<'a>,
    #[serde(borrow)]
    value: DomString<'a>,
}

/// Reads a state. The form is found out if it is not given.
///
/// # Errors
/// [`Error::InvalidParams`] that says where the text is not as expected. `param` is what to call it.
pub fn parse(param: &str, text: &str, format: Option<Format>) -> Result<State> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    match format.unwrap_or_else(|| recognise(text)) {
        Format::StorageState => parse_storage_state(param, text),
        Format::Flat => {
            let items: Members<'_, DomString<'_>> = read(param, "an object of strings", text)?;
            Ok(one(items.0.into_iter().map(owned).collect()))
        }
        Format::Pairs => {
            let items: Vec<(DomString<'_>, DomString<'_>)> = read(param, "an array of pairs of strings", text)?;
            Ok(one(items.into_iter().map(owned).collect()))
        }
    }
}

fn parse_storage_state(param: &str, text: &str) -> Result<State> {
    let top: Members<'_, &RawValue> = read(param, "a storageState", text)?;
    let mut state = State::default();
    for (name, value) in &top.0 {
        if name.as_bytes() != b"origins" && !is_empty(value) {
            state.others.push(name.to_string_lossy());
        }
    }
    let origins: Vec<&RawValue> = read(param, "origins as an array", top.get("origins").unwrap_or("[]"))?;
    for (index, text) in origins.into_iter().enumerate() {
        let at = |name: &str| format!("{param}.origins[{index}].{name}");
        let members: Members<'_, &RawValue> = read(&format!("{param}.origins[{index}]"), "an object", text.get())?;
        let origin = members.get("origin").ok_or_else(|| Error::param(&at("origin"), "missing"))?;
        let mut found = OriginState { origin: Some(read(&at("origin"), "a string", origin)?), ..OriginState::default() };
        for (name, value) in &members.0 {
            let items = |name: &str| -> Result<Option<Items>> {
                let items: Vec<Named<'_>> = read(&at(name), "an array of {name, value} with strings", value.get())?;
                Ok(Some(items.into_iter().map(|item| owned((item.name, item.value))).collect()))
            };
            match name.as_bytes() {
                b"origin" => {}
                b"localStorage" => found.local = items("localStorage")?,
                b"sessionStorage" => found.session = items("sessionStorage")?,
                _ if is_empty(value) => {}
                _ => state.others.push(format!("origins[{index}].{}", name.to_string_lossy())),
            }
        }
        state.origins.push(found);
    }
    Ok(state)
}

/// Finds out the form of a state.
fn recognise(text: &str) -> Format {
    if text.trim_start().starts_with('[') {
        return Format::Pairs;
    }
    match serde_json::from_str::<Members<'_, &RawValue>>(text) {
        Ok(members) if ["origins", "cookies"].iter().any(|name| members.get(name).is_some_and(|value| value.starts_with('['))) => {
            Format::StorageState
        }
        _ => Format::Flat,
    }
}

/// Writes a storageState of these origins. Of `base`, the state that was there before, everything stays that
/// is about other origins or about other things than Web Storage.
///
/// # Errors
/// [`Error::InvalidParams`] if `base` is no storageState.
pub fn write_storage_state(base: Option<(&str, &str)>, origins: &[OriginState], ill_formed: IllFormed) -> Result<String> {
    let (param, base) = base.unwrap_or(("base", "{\"cookies\":[]}"));
    let top: Members<'_, &RawValue> = read(param, "a storageState", base)?;
    let before: Vec<&RawValue> = read(param, "origins as an array", top.get("origins").unwrap_or("[]"))?;
    let mut written = Vec::new();
    let mut done = vec![false; origins.len()];
    for text in before {
        let members: Members<'_, &RawValue> = read(param, "origins as an array of objects", text.get())?;
        let origin: Option<String> = members.get("origin").and_then(|origin| serde_json::from_str(origin).ok());
        match origins.iter().position(|new| new.origin == origin && origin.is_some()) {
            Some(index) if !std::mem::replace(&mut done[index], true) => written.push(write_origin(members, &origins[index], ill_formed)),
            Some(_) => {}
            None => written.push(text.get().to_owned()),
        }
    }
    for (new, done) in origins.iter().zip(done) {
        if !done {
            written.push(write_origin(Members(Vec::new()), new, ill_formed));
        }
    }
    Ok(top.set("origins", Cow::Owned(format!("[{}]", written.join(",")))).write())
}

fn write_origin(before: Members<'_, &RawValue>, origin: &OriginState, ill_formed: IllFormed) -> String {
    let text = |items: &Items| Cow::Owned(write_items(items, ("{\"name\":", ",\"value\":", "}"), ill_formed));
    let mut name = Vec::new();
    write_json(origin.origin.as_deref().unwrap_or_default().as_bytes(), IllFormed::Escape, &mut name);
    let mut members = before.set("origin", Cow::Owned(into_text(name)));
    if let Some(items) = &origin.local {
        members = members.set("localStorage", text(items));
    }
    if let Some(items) = &origin.session {
        members = members.set("sessionStorage", text(items));
    }
    members.write()
}

/// Writes the items of one area as a flat object, with lone surrogates as said.
#[must_use]
pub fn write_flat(items: &Items, ill_formed: IllFormed) -> String {
    let mut out = write_items(items, ("", ":", ""), ill_formed);
    out.replace_range(..1, "{");
    out.replace_range(out.len() - 1.., "}");
    out
}

/// Writes the items of one area as pairs, with lone surrogates as said.
#[must_use]
pub fn write_pairs(items: &Items, ill_formed: IllFormed) -> String {
    write_items(items, ("[", ",", "]"), ill_formed)
}

fn write_items(items: &Items, (before, between, after): (&str, &str, &str), ill_formed: IllFormed) -> String {
    let bytes: usize = items.iter().map(|(key, value)| key.len() + value.len() + 24).sum();
    let mut out = Vec::with_capacity(bytes + 2);
    out.push(b'[');
    for (index, (key, value)) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(before.as_bytes());
        write_json(key, ill_formed, &mut out);
        out.extend_from_slice(between.as_bytes());
        write_json(value, ill_formed, &mut out);
        out.extend_from_slice(after.as_bytes());
    }
    out.push(b']');
    into_text(out)
}

fn into_text(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("JSON in which lone surrogates are escapes is UTF-8")
}

fn read<'a, T: Deserialize<'a>>(param: &str, expected: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::param(param, format_args!("expected {expected}: {error}")))
}

fn is_empty(value: &RawValue) -> bool {
    matches!(value.get(), "[]" | "{}" | "null")
}

fn owned((key, value): (DomString<'_>, DomString<'_>)) -> (Vec<u8>, Vec<u8>) {
    (key.into_bytes(), value.into_bytes())
}

fn one(items: Items) -> State {
    State { origins: vec![OriginState { local: Some(items), ..OriginState::default() }], others: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(pairs: &[(&str, &str)]) -> Items {
        let bytes = |json: &str| serde_json::from_str::<DomString<'_>>(json).expect("the test's own JSON").into_bytes();
        pairs.iter().map(|(key, value)| (bytes(key), bytes(value))).collect()
    }

    #[test]
    fn every_form_keeps_every_string_and_the_order() {
        let items =
            items(&[(r#""10""#, r#""\ud800""#), (r#""\udfff\u0000""#, r#""""#), (r#""2""#, r#""😀\\""#), (r#""__proto__""#, r#""x""#)]);
        let state = OriginState { origin: Some("https://a.test".to_owned()), local: Some(items.clone()), session: Some(items.clone()) };
        let text = write_storage_state(None, std::slice::from_ref(&state), IllFormed::Escape).expect("there is no base");
        assert_eq!(parse("state", &text, None).expect("it was just written").origins, [state]);
        for text in [write_flat(&items, IllFormed::Escape), write_pairs(&items, IllFormed::Escape)] {
            assert_eq!(parse("state", &text, None).expect("it was just written"), one(items.clone()), "{text}");
        }
        for text in [write_flat(&Vec::new(), IllFormed::Escape), write_pairs(&Vec::new(), IllFormed::Escape)] {
            assert_eq!(parse("state", &text, None).expect("it was just written"), one(Vec::new()), "{text}");
        }
    }

    #[test]
    fn what_is_not_web_storage_stays() {
        let base = r#"{"x":1.0,"cookies":[{"name":"c"}],"origins":[{"origin":"https://b.test","localStorage":[]},
            {"indexedDB":[1],"localStorage":[{"name":"old","value":""}],"origin":"https://a.test"}],"y":"\ud800"}"#;
        let new = OriginState { origin: Some("https://a.test".to_owned()), local: Some(items(&[("\"n\"", "\"v\"")])), session: None };
        let written = write_storage_state(Some(("base", base)), &[new], IllFormed::Escape).expect("the base is sound");
        assert_eq!(
            written,
            r#"{"x":1.0,"cookies":[{"name":"c"}],"origins":[{"origin":"https://b.test","localStorage":[]},{"indexedDB":[1],"localStorage":[{"name":"n","value":"v"}],"origin":"https://a.test"}],"y":"\ud800"}"#
        );
        let state = parse("state", &written, None).expect("it was just written");
        assert_eq!(state.others, ["x", "cookies", "y", "origins[1].indexedDB"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            (r#"{"origins":[{"localStorage":[]}]}"#, "state.origins[0].origin"),
            (r#"{"origins":[{"origin":"a","localStorage":[{"name":"a","value":1}]}]}"#, "state.origins[0].localStorage"),
            (r#"{"a":1}"#, "state"),
            (r#"[["a"]]"#, "state"),
            ("{", "state"),
        ] {
            let Err(Error::InvalidParams { param, .. }) = parse("state", text, None) else { panic!("{text} is wrong") };
            assert_eq!(param.as_deref(), Some(named), "{text}");
        }
    }
}
