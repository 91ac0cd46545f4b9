//! Checks that a GET is answered with 2xx. No https, since this program has no TLS; redirects are not followed: that a
//! service points elsewhere is what its caller wants to know.

use crate::error::Error;
use crate::preflight::checks::tcp::{Address, failure, host_of, is_plain};
use crate::preflight::{CheckResult, Failure};
use crate::record::time::MonotonicTime;
use crate::sys::net;
use std::fmt;
use std::time::Duration;

/// An `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    text: String,
    address: Address,
    /// Path and query, which the request line carries.
    target: String,
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Url {
    /// Reads an `http://` URL.
    ///
    /// # Errors
    /// A sentence; for `https://` one that says what to do instead.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err(Error::invalid_options(format!(
                "{text:?} needs TLS, which dogwatch does not have; use a check of kind command: curl -fsS {text}"
            )));
        }
        let invalid = || {
            Error::invalid_options(format!(
                "{text:?} is not an http:// URL; write it like http://localhost:8080/health"
            ))
        };
        let rest = text.get(7..).filter(|_| text[..7].eq_ignore_ascii_case("http://")).ok_or_else(invalid)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        // A port is what follows the last colon, unless that stands inside an IPv6 address's brackets.
        let address = match authority.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => Address::parse(authority).map_err(|_| invalid())?,
            _ => Address { host: host_of(authority).ok_or_else(invalid)?, port: 80 },
        };
        if !is_plain(text) {
            return Err(invalid());
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { text: text.to_owned(), address, target })
    }
}

/// Whether a GET is answered with 2xx.
pub(in crate::preflight) fn check(url: &Url, timeout: Duration, deadline: MonotonicTime) -> CheckResult {
    let address = &url.address;
    let asked = net::connect(&address.host, address.port, deadline)
        .and_then(|stream| net::status(&stream, &address.to_string(), &url.target, deadline));
    let text = &url.text;
    match asked {
        Ok(200..=299) => Ok(None),
        Ok(code @ 300..=399) => Err(Failure::new(format!("{text} answered {code}"))
            .with_cause("the service redirects; check the new address instead")),
        Ok(code @ 500..=599) => Err(Failure::new(format!("{text} answered {code}"))
            .with_cause("the service runs and fails; its own log says why")),
        Ok(code) => Err(Failure::new(format!("{text} answered {code}"))),
        Err(fault) => Err(failure(&fault, address, timeout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_read_as_a_request_needs_them() {
        for (text, address, target) in [
            ("http://h", "h:80", "/"),
            ("HTTP://h:8080", "h:8080", "/"),
            ("http://h/a?b=c#d", "h:80", "/a?b=c"),
            ("http://h?b", "h:80", "/?b"),
            ("http://[::1]", "[::1]:80", "/"),
            ("http://[::1]:81/x:y", "[::1]:81", "/x:y"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.address.to_string().as_str(), url.target.as_str()), (address, target));
        }
        for text in ["", "h", "ftp://h", "http://", "http:///x", "http://u:p@h/", "http://h:x/", "http://h/\r\nX: y"] {
            assert!(Url::parse(text).unwrap_err().to_string().contains("is not an http:// URL"), "{text}");
        }
        let refused = Url::parse("https://h/x").unwrap_err().to_string();
        assert!(refused.contains("TLS") && refused.contains("curl -fsS https://h/x"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", url in "(http://)?[\\[\\]:/?#@a-z0-9é]*") {
            for text in [text, url] {
                let _url = Url::parse(&text);
            }
        }
    }
}
