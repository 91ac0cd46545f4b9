//! Checks of services: a connection that is taken, a GET that is answered with 2xx.
//!
//! Refuses https, since this program has no TLS, and to follow a redirect: that a service points elsewhere is what its
//! caller wants to know.

use crate::preflight::{Failure, Verdict, shown};
use crate::record::sanitize::quote;
use crate::record::time::MonotonicTime;
use crate::sys::fs::monitor_dir::why;
use crate::sys::net;
use crate::sys::net::Fault;
use std::fmt;
use std::io;
use std::time::Duration;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

/// An `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    text: String,
    address: Address,
    /// Path and query, which the request line carries.
    target: String,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Address {
    /// Reads `host:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let unfit = || format!("{text:?} is no address; write it like localhost:5432 or [::1]:5432");
        let (host, port) = text.rsplit_once(':').ok_or_else(unfit)?;
        let port = port.parse().ok().filter(|&port: &u16| port != 0 && plain(text)).ok_or_else(unfit)?;
        Ok(Self { host: host_of(host).ok_or_else(unfit)?, port })
    }
}

impl Url {
    /// Reads an `http://` URL.
    ///
    /// # Errors
    /// A sentence; for `https://` one that says what to do instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err(format!(
                "{text:?} needs TLS, which this program does not have; use a check of kind command: curl -fsS {text}"
            ));
        }
        let unfit = || format!("{text:?} is no URL; write it like http://localhost:8080/health");
        let rest = text.get(7..).filter(|_| text[..7].eq_ignore_ascii_case("http://")).ok_or_else(unfit)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        // A port is what follows the last colon, unless that stands inside an IPv6 address's brackets.
        let address = match authority.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => Address::parse(authority).map_err(|_| unfit())?,
            _ => Address { host: host_of(authority).ok_or_else(unfit)?, port: 80 },
        };
        if !plain(text) {
            return Err(unfit());
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { text: text.to_owned(), address, target })
    }
}

/// A host without its brackets; nothing where it is empty, or has colons without brackets or a user's name.
fn host_of(text: &str) -> Option<String> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = inner.unwrap_or(text);
    let odd = host.is_empty() || host.contains(['[', ']', '@', '/']) || (inner.is_none() && host.contains(':'));
    (!odd).then(|| host.to_owned())
}

/// Whether text can stand in a request: ASCII without blanks and control characters, which could end a line of it.
fn plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a connection is taken.
pub(super) fn tcp(address: &Address, limit: Duration, deadline: MonotonicTime) -> Verdict {
    match net::connect(&address.host, address.port, deadline) {
        Ok(_stream) => Ok(None),
        Err(fault) => Err(failure(&fault, address, limit)),
    }
}

/// Whether a GET is answered with 2xx.
pub(super) fn http(url: &Url, limit: Duration, deadline: MonotonicTime) -> Verdict {
    let address = &url.address;
    let asked = net::connect(&address.host, address.port, deadline)
        .and_then(|stream| net::status(&stream, &address.to_string(), &url.target, deadline));
    let text = &url.text;
    match asked {
        Ok(200..=299) => Ok(None),
        Ok(code @ 300..=399) => Err(Failure::of(format!("{text} answered {code}"))
            .because("the service points elsewhere; check that place instead")),
        Ok(code @ 500..=599) => {
            Err(Failure::of(format!("{text} answered {code}"))
                .because("the service runs and fails; its own log says why"))
        }
        Ok(code) => Err(Failure::of(format!("{text} answered {code}"))),
        Err(fault) => Err(failure(&fault, address, limit)),
    }
}

fn failure(fault: &Fault, address: &Address, limit: Duration) -> Failure {
    let limit = shown(limit);
    match fault {
        Fault::NoAddress(error) => Failure::of(format!("{} has no address: {error}", address.host))
            .because("the name is misspelt, or the name service is not reached from here"),
        Fault::NoNameService => Failure::of(format!("no address for {} within {limit}", address.host))
            .because("the name service does not answer"),
        Fault::NotTaken(at, error) => {
            let failure = Failure::of(format!("no connection to {address} ({}): {}", at.ip(), why(error)));
            if error.kind() == io::ErrorKind::ConnectionRefused {
                failure.because("nothing listens there: the service is not up")
            } else if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
                failure.because(format!("nobody answered within {limit}: a firewall, or the host is down"))
            } else {
                failure
            }
        }
        Fault::NoAnswer => Failure::of(format!("{address} took the connection and did not answer within {limit}"))
            .because("the service is up and stuck, or slower than this check's timeout"),
        Fault::Broken(error) => Failure::of(format!("{address} broke the connection: {}", why(error))),
        Fault::NotHttp(head) => Failure::of(format!("{address} answered {}, which is no HTTP", quote(head)))
            .because("another service listens there, or it speaks TLS only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_and_shown_again() {
        for (text, host, port) in
            [("localhost:80", "localhost", 80), ("[::1]:5432", "::1", 5432), ("10.0.0.1:65535", "10.0.0.1", 65535)]
        {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
        for text in ["", "localhost", ":80", "h:", "h:0", "h:65536", "::1:80", "[]:80", "h h:80", "u@h:80", "h/x:80"] {
            assert!(Address::parse(text).unwrap_err().contains("is no address"), "{text}");
        }
    }

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
            assert!(Url::parse(text).unwrap_err().contains("is no URL"), "{text}");
        }
        let refused = Url::parse("https://h/x").unwrap_err();
        assert!(refused.contains("TLS") && refused.contains("curl -fsS https://h/x"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", url in "(http://)?[\\[\\]:/?#@a-z0-9é]*") {
            for text in [text, url] {
                let _address = Address::parse(&text);
                let _url = Url::parse(&text);
            }
        }
    }
}
