//! Origins: the keys under which bottles are kept (Storage Standard, "storage key").

use std::fmt;

use sha2::{Digest, Sha256};
use url::Url;

use crate::error::{Error, Result};

/// A serialised origin, as `new URL(text).origin` gives it: `https://example.com`, or `null` if opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

impl Origin {
    /// Parses an origin, or any URL of which the origin is taken.
    ///
    /// Hosts of the web's schemes are lower-cased, put in punycode and canonicalised as the URL standard does, and
    /// default ports are dropped. The schemes of hosts that are not browsers, such as
    /// `vscode-extension://publisher.name`, which the standard calls opaque, are tuple origins of scheme, host and
    /// port here; their hosts stay as they are written, upper case included. `null`, `data:`, `file:` and URLs without a host
    /// are opaque.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] for text that is no absolute URL.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "null" {
            return Ok(Origin("null".to_owned()));
        }
        let expected = "expected an origin such as \"https://example.com\"";
        let url = Url::parse(text).map_err(|error| Error::param("origin", format_args!("{expected}, found {text:?} ({error})")))?;
        let origin = url.origin();
        if origin.is_tuple() {
            return Ok(Origin(origin.ascii_serialization()));
        }
        match url.host_str() {
            Some(host) if !host.is_empty() && url.scheme() != "file" => Ok(Origin(match url.port() {
                Some(port) => format!("{}://{host}:{port}", url.scheme()),
                None => format!("{}://{host}", url.scheme()),
            })),
            _ => Ok(Origin("null".to_owned())),
        }
    }

    /// Whether the origin is opaque: it has no storage that outlives its document.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.0 == "null"
    }

    /// The serialisation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stem of the names of this origin's files: a part that people can read and a hash that makes it
    /// injective on every file system, those that fold case included.
    #[must_use]
    pub fn file_stem(&self) -> String {
        let readable: String = self
            .0
            .replacen("://", "_", 1)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_' { c.to_ascii_lowercase() } else { '_' })
            .take(48)
            .collect();
        let digest = Sha256::digest(self.0.as_bytes());
        let hash = u128::from_be_bytes(*digest.first_chunk().expect("a SHA-256 digest has 32 bytes"));
        format!("{readable}-{hash:032x}")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> String {
        Origin::parse(text).map_or_else(|error| error.to_string(), |origin| origin.0)
    }

    #[test]
    fn equal_origins_have_one_serialisation() {
        for text in ["https://A.com", "https://a.com", "https://a.com:443", "https://user:pw@a.com/x?y#z"] {
            assert_eq!(origin(text), "https://a.com");
        }
        assert_eq!(origin("https://bücher.de"), "https://xn--bcher-kva.de");
        assert_eq!(origin("http://[::1]:80"), "http://[::1]");
        assert_eq!(origin("http://0x7f.1"), "http://127.0.0.1");
        assert_eq!(origin("https://a.com."), "https://a.com.");
        assert_eq!(origin("vscode-extension://publisher.name"), "vscode-extension://publisher.name");
        assert_eq!(origin("vscode-extension://publisher.name:80/x"), "vscode-extension://publisher.name:80");
    }

    #[test]
    fn opaque_origins() {
        for text in ["null", "data:,x", "file:///x", "file://host/x", "about:blank", "mailto:a@b"] {
            assert_eq!(origin(text), "null", "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in ["", "../../etc/passwd", "https://", "https://a b", "https://a\0b", "a.com"] {
            assert!(matches!(Origin::parse(text), Err(Error::InvalidParams { .. })), "{text:?}");
        }
    }

    #[test]
    fn file_stems_are_injective_and_safe() {
        let long = format!("https://{}.com", "a".repeat(300));
        let texts = ["https://con", "https://a.com", "http://a.com", "https://a.com:8443", "a+b://c", "a-b://c", &long];
        let stems: std::collections::BTreeSet<String> =
            texts.iter().map(|text| Origin::parse(text).expect("the texts are origins").file_stem()).collect();
        assert_eq!(stems.len(), texts.len());
        assert!(stems.iter().all(|stem| stem.len() <= 81 && !stem.starts_with('.') && !stem.contains('/')));
    }
}
