//! Watching an origin: every change once, in its order, also where more of them come at once than may wait.

use std::io::Write;
use std::time::Duration;

use serde::Deserialize;
use webstorage_server::dom_string::{DomString, starts_with};

use super::Stop;
use super::local::{Local, json};
use super::print::{Printer, read};

/// How often is looked whether an origin has storage by now. It gets none from being watched.
const LOOK: Duration = Duration::from_millis(50);

/// What `storage/subscribe` gives.
#[derive(Deserialize)]
struct Subscribed {
    subscription: u64,
    sequence: u64,
    gap: bool,
}

/// What every notification has.
#[derive(Deserialize)]
struct Notice {
    subscription: u64,
    sequence: u64,
}

/// The filter of a subscription, as JSON text and as a string.
struct Prefix<'a> {
    json: &'a str,
    wtf8: Vec<u8>,
}

/// Prints changes until `count` of them were printed.
pub fn watch(local: &mut Local, prefix: Option<&str>, count: Option<u64>, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let prefix = match prefix {
        Some(json) => Some(Prefix { json, wtf8: read::<DomString<'_>>(json)?.into_bytes() }),
        None => None,
    };
    let mut left = count.unwrap_or(u64::MAX);
    let mut since = None;
    while !local.has_storage() {
        // Whatever is there when it comes has changed since.
        since = Some(0);
        std::thread::sleep(LOOK);
    }
    let mut subscribed = subscribe(local, prefix.as_ref(), since)?;
    if subscribed.gap {
        print_all(local, prefix.as_ref(), &subscribed, &mut left, printer)?;
    }
    // Up to which change all is told, and from which one was last asked for once more.
    let (mut known, mut asked) = (if since.is_some() && !subscribed.gap { 0 } else { subscribed.sequence }, None);
    while left > 0 {
        let Some((method, params)) = local.next_notification()? else { return Ok(()) };
        let notice: Notice = read(&params)?;
        if notice.subscription != subscribed.subscription {
            continue;
        }
        if method != "storage/overflow" {
            printer.event(&params)?;
            left -= 1;
        } else if notice.sequence > known && asked != Some(known) {
            // The changes that were dropped may still be in the journal. If as many wait again before the first of
            // them was read, asking once more would lead nowhere.
            asked = Some(known);
            local.call("storage/unsubscribe", &format!("[{}]", subscribed.subscription))?;
            subscribed = subscribe(local, prefix.as_ref(), Some(known))?;
            if !subscribed.gap {
                continue;
            }
            printer.missed(subscribed.sequence)?;
            known = subscribed.sequence;
            printer.flush()?;
            continue;
        } else {
            printer.missed(notice.sequence)?;
        }
        known = notice.sequence;
        printer.flush()?;
    }
    Ok(())
}

fn subscribe(local: &mut Local, prefix: Option<&Prefix<'_>>, since: Option<u64>) -> Result<Subscribed, Stop> {
    let storage = local.open()?;
    let prefix = prefix.map(|prefix| format!(",\"prefix\":{}", prefix.json)).unwrap_or_default();
    let since = since.map(|since| format!(",\"since\":{since}")).unwrap_or_default();
    read(&local.call("storage/subscribe", &format!("{{\"storage\":{storage}{prefix}{since}}}"))?)
}

/// Prints the items of an area that was not there before: whoever made it told nobody of the first changes.
fn print_all(
    local: &mut Local,
    prefix: Option<&Prefix<'_>>,
    subscribed: &Subscribed,
    left: &mut u64,
    printer: &mut Printer<impl Write>,
) -> Result<(), Stop> {
    let (storage, url) = (local.open()?, json(local.origin().as_str()));
    let mut pages = local.pages()?;
    while let Some(page) = pages.next(local)? {
        for entry in page.entries()? {
            let key: DomString<'_> = read(entry.key.get())?;
            if *left > 0 && prefix.is_none_or(|prefix| starts_with(key.as_bytes(), &prefix.wtf8)) {
                let Subscribed { subscription, sequence, .. } = subscribed;
                printer.event(&format!(
                    r#"{{"subscription":{subscription},"storage":{storage},"sequence":{sequence},"key":{},"oldValue":null,"newValue":{},"url":{url}}}"#,
                    entry.key, entry.value
                ))?;
                *left -= 1;
            }
        }
    }
    Ok(printer.flush()?)
}
