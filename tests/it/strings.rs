//! Every string comes back as it was set: through memory, through the file and another process, over the wire.

use crate::client::Client;
use crate::folder::Folder;
use crate::units::{of_array, of_result, of_text, to_json};

const MIB: usize = 1 << 20;

/// Strings in which something could get lost, each different from all others.
fn hostile() -> Vec<Vec<u16>> {
    let mut strings: Vec<Vec<u16>> =
        ["", "\0", "a\0b", "\0\0", "caf\u{e9}", "cafe\u{301}", "\u{feff}", "\u{2028}", "'; DROP TABLE item;--", "__proto__"]
            .iter()
            .chain(&[
                "constructor",
                "null",
                "\"",
                "\\",
                "\\u0000",
                "\u{1f600}",
                " ",
                "  ",
                "\r\n",
                "\n",
                "\u{7f}",
                "\u{fffd}",
                "\u{ffff}",
                "%s%n",
                "file:x",
            ])
            .map(|text| of_text(text))
            .collect();
    // Surrogates: alone, in the wrong order, in pairs beside lone ones.
    for units in [
        &[0xD800][..],
        &[0xDFFF],
        &[0xDC00, 0xD800],
        &[0xD800, 0xD800, 0xDC00],
        &[0xD83D, 0xDE00, 0xDE00],
        &[0xD800, 0x61],
        &[0x61, 0xDBFF],
    ] {
        strings.push(units.to_vec());
    }
    // Every 16-bit unit there is, in order and backwards.
    strings.push((0..=u16::MAX).collect());
    strings.push((0..=u16::MAX).rev().collect());
    strings
}

/// Strings of 1 MiB, of bytes alone and of characters of every length in bytes, lone surrogates among them.
fn big() -> Vec<Vec<u16>> {
    let repeat = |units: &[u16]| units.iter().copied().cycle().take(MIB).collect();
    vec![repeat(&[0x61]), repeat(&[0x61, 0xE9, 0x9375, 0xD83D, 0xDE00, 0x9375, 0xD800, 0xE9, 0, 0x61])]
}

#[test]
fn come_back_exactly() {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    let quota = 1_u64 << 30;
    let handles = [false, true].map(|persistent| client.open(&format!("[{persistent},null,{quota}]")).storage);
    let strings: Vec<Vec<u16>> = hostile().into_iter().chain(big()).collect();
    // Each is a key, and the value of the key before it.
    let value_of = |n: usize| &strings[(n + 1) % strings.len()];
    for storage in handles {
        for (n, key) in strings.iter().enumerate() {
            client.get("setItem", &format!("[{storage},{},{}]", to_json(key), to_json(value_of(n))));
        }
    }
    let check = |client: &mut Client, storage: u64| {
        for (n, key) in strings.iter().enumerate() {
            let value = of_result(&client.get("getItem", &format!("[{storage},{}]", to_json(key))));
            assert!(value.as_ref() == Some(value_of(n)), "the value of the key {n}");
            assert!(of_result(&client.get("key", &format!("[{storage},{n}]"))).as_ref() == Some(key), "the key {n}");
        }
        assert!(of_array(&client.get("storage/keys", &format!("[{storage}]"))) == strings, "the keys");
        assert_eq!(client.get("length", &format!("[{storage}]")), strings.len().to_string());
    };
    for storage in handles {
        check(&mut client, storage);
    }
    // Another process, beside the first one and after its end.
    for _ in 0..2 {
        let mut other = Client::start(folder.path());
        let opened = other.open("[true]");
        let units: usize = strings.iter().map(|string| 2 * string.len()).sum();
        assert_eq!(opened.usage, 2 * units as u64, "two bytes for each unit of keys and values");
        check(&mut other, opened.storage);
        other.end();
        client.close();
    }
    client.end();
}
