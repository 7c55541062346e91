//! Writing states.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::place::{Source, Text};
use super::read::{Members, entries, is_storage_state, object, once};
use super::{Items, OriginState};
use crate::dom_string::{DomString, IllFormed, write_json};
use crate::error::Result;
use crate::origin::Origin;

/// Writes a storageState of these origins. Of `base`, the state that was there before, everything stays that
/// is about other origins or about other things than Web Storage. What it has of these origins is replaced in whatever
/// spelling they are there.
///
/// # Errors
/// [`Error::InvalidParams`](crate::error::Error::InvalidParams) if `base` is no storageState.
pub fn write_storage_state(base: Option<(Source<'_>, &str)>, origins: &[OriginState], ill_formed: IllFormed) -> Result<String> {
    let (source, text) = base.unwrap_or((Source::Param("base"), "{\"cookies\":[]}"));
    let text = Text { source, text };
    text.require_json()?;
    let (top, before) = entries(text, None)?;
    if matches!(source, Source::File(_)) && !top.0.is_empty() && !is_storage_state(&top) {
        return Err(text.wrong(text.text, "", "this is no storageState, of which the other parts could be kept; name another file"));
    }
    let mut written = Vec::new();
    let mut done = vec![false; origins.len()];
    for (index, entry) in before.into_iter().enumerate() {
        let at = format!("origins[{index}]");
        let members = object(text, entry.get(), &at)?;
        for name in ["origin", "localStorage", "sessionStorage"] {
            once(text, &members, name, &at)?;
        }
        let named: Option<String> = members.all("origin").next().and_then(|origin| serde_json::from_str(origin).ok());
        match named.and_then(|named| origins.iter().position(|new| is_of(new, &named))) {
            Some(index) if !std::mem::replace(&mut done[index], true) => written.push(write_origin(members, &origins[index], ill_formed)),
            Some(index) => written.extend(rest(members, &origins[index])),
            None => written.push(entry.get().to_owned()),
        }
    }
    for (new, done) in origins.iter().zip(done) {
        if !done {
            written.push(write_origin(Members(Vec::new()), new, ill_formed));
        }
    }
    Ok(Edited::from(top).set("origins", Cow::Owned(format!("[{}]", written.join(",")))).write())
}

/// Whether an entry with this origin, in any spelling, is of the same origin. An opaque one is only the same as itself.
fn is_of(new: &OriginState, named: &str) -> bool {
    let Some(origin) = &new.origin else { return false };
    if origin.is_opaque() { named == origin.as_str() } else { Origin::parse(named).is_ok_and(|named| named == *origin) }
}

fn write_origin(before: Members<'_, &RawValue>, origin: &OriginState, ill_formed: IllFormed) -> String {
    let text = |items: &Items| Cow::Owned(write_items(items, ("{\"name\":", ",\"value\":", "}"), ill_formed));
    let mut name = Vec::new();
    write_json(origin.origin.as_ref().map_or("", Origin::as_str).as_bytes(), IllFormed::Escape, &mut name);
    let mut members = Edited::from(before).set("origin", Cow::Owned(into_text(name)));
    if let Some(items) = &origin.local {
        members = members.set("localStorage", text(items));
    }
    if let Some(items) = &origin.session {
        members = members.set("sessionStorage", text(items));
    }
    members.write()
}

/// What is left of one more entry of an origin whose new items are written already; nothing if that is only its name.
fn rest(mut members: Members<'_, &RawValue>, written: &OriginState) -> Option<String> {
    members.0.retain(|(name, _)| match name.as_bytes() {
        b"localStorage" => written.local.is_none(),
        b"sessionStorage" => written.session.is_none(),
        _ => true,
    });
    (members.0.len() > 1).then(|| Edited::from(members).write())
}

/// The members of an object that is to be written, each as JSON text.
struct Edited<'a>(Vec<(DomString<'a>, Cow<'a, str>)>);

impl<'a> From<Members<'a, &'a RawValue>> for Edited<'a> {
    fn from(members: Members<'a, &'a RawValue>) -> Self {
        Edited(members.0.into_iter().map(|(name, value)| (name, Cow::Borrowed(value.get()))).collect())
    }
}

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
