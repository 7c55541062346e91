//! Reading states.
//!
//! What is sound is read in few passes and without looking at each string twice. Where that fails the text is gone through
//! again, value by value, to say which one is wrong.

use std::fmt;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::place::{Source, Text};
use super::{Format, Items, OriginState, State};
use crate::dom_string::DomString;
use crate::error::{Error, Result};
use crate::origin::Origin;

/// Reads a state. The form is found out if it is not given.
///
/// # Errors
/// [`Error::InvalidParams`] that says where the text is not as expected; [`Error::Security`] where it has items for the
/// persistent area of an opaque origin.
pub fn parse(source: Source<'_>, text: &str, format: Option<Format>) -> Result<State> {
    let text = Text { source, text };
    text.require_json()?;
    let (found, top) = if format.is_none() { recognise(text.text) } else { (Format::default(), None) };
    match format.unwrap_or(found) {
        Format::StorageState => parse_storage_state(text, top),
        Format::Flat => one(text, Form::Object),
        Format::Pairs => one(text, Form::Pairs),
    }
}

/// Finds out the form of a state, which is JSON; also gives the members of a storageState.
fn recognise(text: &str) -> (Format, Option<Members<'_, &RawValue>>) {
    let text = text.trim_ascii();
    if text.starts_with('[') {
        return (Format::Pairs, None);
    }
    match serde_json::from_str::<Members<'_, &RawValue>>(text) {
        Ok(members) if is_storage_state(&members) => (Format::StorageState, Some(members)),
        _ => (Format::Flat, None),
    }
}

/// Whether an object with these members can be nothing but a storageState.
pub(super) fn is_storage_state(top: &Members<'_, &RawValue>) -> bool {
    ["origins", "cookies"].iter().any(|name| top.all(name).any(|value| value.starts_with('[')))
}

/// A form that names no origin: the items of one area.
fn one(text: Text<'_>, form: Form) -> Result<State> {
    let list = List::read(text, form, text.text.trim_ascii(), String::new())?;
    Ok(State { origins: vec![OriginState { local: unite(text, vec![list])?, ..OriginState::default() }], others: Vec::new() })
}

fn parse_storage_state<'a>(text: Text<'a>, top: Option<Members<'a, &'a RawValue>>) -> Result<State> {
    let (top, entries) = entries(text, top)?;
    let mut others: Vec<String> = top
        .0
        .iter()
        .filter(|(name, value)| name.as_bytes() != b"origins" && !is_empty(value))
        .map(|(name, _)| name.to_string_lossy())
        .collect();
    let mut areas: Vec<(Origin, [Vec<List<'_>>; 2])> = Vec::new();
    let mut places: FxHashMap<Origin, usize> = FxHashMap::default();
    for (index, entry) in entries.into_iter().enumerate() {
        let at = format!("origins[{index}]");
        let members = object(text, entry.get(), &at)?;
        let (origin, written) = origin(text, &members, entry.get(), &at)?;
        let place = *places.entry(origin.clone()).or_insert_with(|| {
            areas.push((origin.clone(), [Vec::new(), Vec::new()]));
            areas.len() - 1
        });
        for (position, name) in ["localStorage", "sessionStorage"].into_iter().enumerate() {
            let Some(value) = once(text, &members, name, &at)? else { continue };
            let list = List::read(text, Form::Named, value, format!("{at}.{name}"))?;
            others.extend(list.others.iter().cloned());
            if position == 0 && origin.is_opaque() {
                if list.items.is_empty() {
                    continue;
                }
                let message = format_args!("{written} is an opaque origin, which has no persistent storage to import into");
                return Err(text.insecure(written, &format!("{at}.origin"), message));
            }
            areas[place].1[position].push(list);
        }
        for (name, value) in &members.0 {
            if !matches!(name.as_bytes(), b"origin" | b"localStorage" | b"sessionStorage") && !is_empty(value) {
                others.push(format!("{at}.{}", name.to_string_lossy()));
            }
        }
    }
    let mut origins = Vec::with_capacity(areas.len());
    for (origin, [local, session]) in areas {
        origins.push(OriginState { origin: Some(origin), local: unite(text, local)?, session: unite(text, session)? });
    }
    Ok(State { origins, others })
}

/// What is in an object: its members, and the entries of its origins.
type Content<'a> = (Members<'a, &'a RawValue>, Vec<&'a RawValue>);

/// The members of a storageState, read here if they are not given, and its origins.
pub(super) fn entries<'a>(text: Text<'a>, top: Option<Members<'a, &'a RawValue>>) -> Result<Content<'a>> {
    let top = top.map_or_else(|| object(text, text.text.trim_ascii(), ""), Ok)?;
    let origins = once(text, &top, "origins", "")?.unwrap_or("[]");
    let entries = serde_json::from_str(origins)
        .map_err(|_| text.wrong(origins, "origins", format_args!("expected an array, found {}", Text::found(origins))))?;
    Ok((top, entries))
}

/// An object's members.
pub(super) fn object<'a>(text: Text<'a>, value: &'a str, at: &str) -> Result<Members<'a, &'a RawValue>> {
    serde_json::from_str(value).map_err(|_| text.wrong(value, at, format_args!("expected an object, found {}", Text::found(value))))
}

/// The member of this name, which must not be there twice.
pub(super) fn once<'a>(text: Text<'a>, members: &Members<'a, &'a RawValue>, name: &str, at: &str) -> Result<Option<&'a str>> {
    let mut all = members.all(name);
    let first = all.next();
    match all.next() {
        None => Ok(first),
        Some(second) => Err(text.wrong(second, &join(at, name), "it is there twice")),
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// The origin of an entry, and how that is written.
fn origin<'a>(text: Text<'a>, members: &Members<'a, &'a RawValue>, entry: &'a str, at: &str) -> Result<(Origin, &'a str)> {
    let at = format!("{at}.origin");
    let written = match once(text, members, "origin", at.trim_end_matches(".origin"))? {
        None => return Err(text.wrong(entry, &at, "missing")),
        Some(written) if !written.starts_with('"') => {
            return Err(text.wrong(written, &at, format_args!("expected a string, found {}", Text::found(written))));
        }
        Some(written) => written,
    };
    let parsed = serde_json::from_str::<String>(written).map_err(|_| Error::param("origin", "a lone surrogate is in no origin"));
    match parsed.and_then(|origin| Origin::parse(&origin)) {
        Ok(origin) => Ok((origin, written)),
        Err(Error::InvalidParams { message, .. }) => Err(text.wrong(written, &at, message.trim_start_matches("origin: "))),
        Err(other) => Err(other),
    }
}

/// How the items of one area are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `{"key": "value"}`
    Object,
    /// `[["key", "value"]]`
    Pairs,
    /// `[{"name": "key", "value": "value"}]`
    Named,
}

/// The items of an area, or some of them.
struct List<'a> {
    form: Form,
    /// The way to the list.
    at: String,
    json: &'a str,
    items: Items,
    /// What the items have besides their names and values, the first of each name.
    others: Vec<String>,
}

impl<'a> List<'a> {
    fn read(text: Text<'a>, form: Form, json: &'a str, at: String) -> Result<Self> {
        let mut others = Vec::new();
        let items = match form {
            Form::Object => serde_json::from_str(json).map(|Members(items): Members<'_, DomString<'_>>| owned(items)),
            Form::Pairs => serde_json::from_str(json).map(owned),
            Form::Named => serde_json::from_str(json).map(|items: Vec<Named<'_>>| {
                let mut seen = FxHashSet::default();
                for (index, item) in items.iter().enumerate() {
                    let new = item.others.iter().filter(|name| seen.insert((*name).clone()));
                    others.extend(new.map(|name| format!("{at}[{index}].{name}")));
                }
                owned(items.into_iter().map(|item| (item.name, item.value)).collect())
            }),
        };
        match items {
            Ok(items) => Ok(List { form, at, json, items, others }),
            Err(error) => Err(explain(text, form, json, &at).err().unwrap_or_else(|| text.wrong(json, &at, error))),
        }
    }

    /// The way to the item of this index, and its text.
    fn place(&self, text: Text<'a>, index: usize) -> Result<(String, &'a str)> {
        let mut parts = parts(text, self.form, self.json, &self.at)?;
        Ok(parts.swap_remove(index.min(parts.len().saturating_sub(1))))
    }
}

/// The items of lists of one area together, `None` without any. One that is there twice counts once.
fn unite(text: Text<'_>, mut lists: Vec<List<'_>>) -> Result<Option<Items>> {
    let mut seen: FxHashMap<&[u8], (usize, usize)> = FxHashMap::default();
    seen.reserve(lists.iter().map(|list| list.items.len()).sum());
    let mut again: Vec<FxHashSet<usize>> = vec![FxHashSet::default(); lists.len()];
    for (number, list) in lists.iter().enumerate() {
        for (index, (key, value)) in list.items.iter().enumerate() {
            let Some((other, before)) = seen.insert(key, (number, index)) else { continue };
            if lists[other].items[before].1 != *value {
                let (at, part) = list.place(text, index)?;
                let (first, _) = lists[other].place(text, before)?;
                let elsewhere = if at == first { "before".to_owned() } else { format!("in {first}") };
                let message = format_args!("the key {} has another value {elsewhere}; each key can have one", shown(key));
                return Err(text.wrong(part, &at, message));
            }
            again[number].insert(index);
        }
    }
    drop(seen);
    for (list, again) in lists.iter_mut().zip(&again).filter(|(_, again)| !again.is_empty()) {
        let mut index = 0..;
        list.items.retain(|_| index.next().is_some_and(|index| !again.contains(&index)));
    }
    Ok(lists.into_iter().map(|list| list.items).reduce(|mut all, more| {
        all.extend(more);
        all
    }))
}

/// The parts of a list, each with the way to it: the values of an object, the elements of an array.
fn parts<'a>(text: Text<'a>, form: Form, json: &'a str, at: &str) -> Result<Vec<(String, &'a str)>> {
    if form == Form::Object {
        let members: Members<'_, &RawValue> = serde_json::from_str(json)
            .map_err(|_| text.wrong(json, at, format_args!("expected an object of strings, found {}", Text::found(json))))?;
        return Ok(members.0.into_iter().map(|(name, value)| (format!("{at}[{}]", shown(name.as_bytes())), value.get())).collect());
    }
    let expected = if form == Form::Pairs { "pairs of strings" } else { "{name, value} with strings" };
    let elements: Vec<&RawValue> = serde_json::from_str(json)
        .map_err(|_| text.wrong(json, at, format_args!("expected an array of {expected}, found {}", Text::found(json))))?;
    Ok(elements.into_iter().enumerate().map(|(index, element)| (format!("{at}[{index}]"), element.get())).collect())
}

/// Says what is wrong with a list that cannot be read.
#[cold]
fn explain<'a>(text: Text<'a>, form: Form, json: &'a str, at: &str) -> Result<()> {
    let string = |value: &str, at: &str, of: &str| {
        if value.starts_with('"') {
            return Ok(());
        }
        Err(text.wrong(value, at, format_args!("expected a string, found {}{of}", Text::found(value))))
    };
    for (at, part) in parts(text, form, json, at)? {
        match form {
            Form::Object => string(part, &at, "")?,
            Form::Pairs => {
                let pair: Vec<&RawValue> = serde_json::from_str(part)
                    .map_err(|_| text.wrong(part, &at, format_args!("expected a pair of strings, found {}", Text::found(part))))?;
                let [key, value] = pair[..] else {
                    return Err(text.wrong(part, &at, format_args!("expected a pair of strings, found an array of {}", pair.len())));
                };
                string(key.get(), &format!("{at}[0]"), "")?;
                string(value.get(), &format!("{at}[1]"), &of_item(key.get()))?;
            }
            Form::Named => {
                let members = object(text, part, &at)?;
                let member = |name| once(text, &members, name, &at)?.ok_or_else(|| text.wrong(part, &format!("{at}.{name}"), "missing"));
                let name = member("name")?;
                string(name, &format!("{at}.name"), "")?;
                string(member("value")?, &format!("{at}.value"), &of_item(name))?;
            }
        }
    }
    Ok(())
}

/// Says of which item something is whose key is this JSON string.
fn of_item(key: &str) -> String {
    serde_json::from_str::<DomString<'_>>(key).map_or_else(|_| String::new(), |key| format!(" (of the item {})", shown(key.as_bytes())))
}

/// A key for people, not at any length.
fn shown(key: &[u8]) -> String {
    const MAX_SHOWN: usize = 60;
    let whole = format!("{:?}", DomString::from_wtf8(key));
    match whole.char_indices().nth(MAX_SHOWN) {
        None => whole,
        Some((end, _)) => format!("{}…\"", &whole[..end]),
    }
}

/// Whether nothing is lost if this is left out.
fn is_empty(value: &RawValue) -> bool {
    let value = value.get();
    value == "null" || ['[', '{'].iter().any(|open| value.strip_prefix(*open).is_some_and(|rest| rest.trim_ascii().len() == 1))
}

fn owned(items: Vec<(DomString<'_>, DomString<'_>)>) -> Items {
    items.into_iter().map(|(key, value)| (key.into_bytes(), value.into_bytes())).collect()
}

/// An object's members in their order, with any strings as names. The text must be known to be JSON.
pub(super) struct Members<'a, V>(pub(super) Vec<(DomString<'a>, V)>);

impl<'a> Members<'a, &'a RawValue> {
    /// The values of the members of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own.as_bytes() == name.as_bytes()).map(|(_, value)| value.get())
    }
}

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

/// An item of `localStorage` in a storageState.
struct Named<'a> {
    name: DomString<'a>,
    value: DomString<'a>,
    /// The names of its other members that are not empty.
    others: Vec<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Item;
        impl<'de> Visitor<'de> for Item {
            type Value = Named<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of name and value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let (mut name, mut value, mut others) = (None, None, Vec::new());
                while let Some(member) = map.next_key::<DomString<'de>>()? {
                    let twice = match member.as_bytes() {
                        b"name" => name.replace(map.next_value()?).is_some(),
                        b"value" => value.replace(map.next_value()?).is_some(),
                        _ => {
                            if !is_empty(map.next_value::<&RawValue>()?) {
                                others.push(member.to_string_lossy());
                            }
                            false
                        }
                    };
                    if twice {
                        return Err(A::Error::custom("a member is there twice"));
                    }
                }
                match (name, value) {
                    (Some(name), Some(value)) => Ok(Named { name, value, others }),
                    _ => Err(A::Error::custom("a member is missing")),
                }
            }
        }
        deserializer.deserialize_map(Item)
    }
}
