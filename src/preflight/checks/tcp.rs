//! Checks that a TCP connection is accepted; the address type and the failures that `http` shares.

use crate::error::{Error, io_reason};
use crate::preflight::{CheckResult, Failure, shown};
use crate::record::sanitize::quote;
use crate::record::time::MonotonicTime;
use crate::sys::net::{self, NetError};
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

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl Address {
    /// Reads `host:port`; an IPv6 address is in brackets.
    ///
    /// # Errors
    /// It is no such text; a sentence that shows one.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || {
            Error::invalid_options(format!("{text:?} is not an address; write it like localhost:5432 or [::1]:5432"))
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().ok().filter(|&port: &u16| port != 0 && is_plain(text)).ok_or_else(invalid)?;
        Ok(Self { host: host_of(host).ok_or_else(invalid)?, port })
    }
}

/// A host without its brackets; `None` where it is empty, or has colons without brackets or a user's name.
pub(super) fn host_of(text: &str) -> Option<String> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = inner.unwrap_or(text);
    let odd = host.is_empty() || host.contains(['[', ']', '@', '/']) || (inner.is_none() && host.contains(':'));
    (!odd).then(|| host.to_owned())
}

/// Whether text can be part of a request: ASCII without blanks and control characters, which could end a line of it.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a connection is accepted.
pub(in crate::preflight) fn check(address: &Address, timeout: Duration, deadline: MonotonicTime) -> CheckResult {
    match net::connect(&address.host, address.port, deadline) {
        Ok(_stream) => Ok(None),
        Err(fault) => Err(failure(&fault, address, timeout)),
    }
}

/// What a failed connection means.
pub(super) fn failure(fault: &NetError, address: &Address, timeout: Duration) -> Failure {
    let limit = shown(timeout);
    match fault {
        NetError::NoAddress(error) => Failure::new(format!("{} has no address: {error}", address.host))
            .with_cause("the name is misspelt, or the name service cannot be reached from here"),
        NetError::NoNameService => Failure::new(format!("no address for {} within {limit}", address.host))
            .with_cause("the name service does not answer"),
        NetError::NotTaken(at, error) => {
            let failure = Failure::new(format!("no connection to {address} ({}): {}", at.ip(), io_reason(error)));
            if error.kind() == io::ErrorKind::ConnectionRefused {
                failure.with_cause("nothing listens there: the service is not up")
            } else if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
                failure
                    .with_cause(format!("no answer within {limit}: a firewall drops the packets, or the host is down"))
            } else {
                failure
            }
        }
        NetError::NoAnswer => {
            Failure::new(format!("{address} accepted the connection and did not answer within {limit}"))
                .with_cause("the service is up and stuck, or slower than this check's timeout")
        }
        NetError::Broken(error) => Failure::new(format!("{address} broke the connection: {}", io_reason(error))),
        NetError::NotHttp(head) => Failure::new(format!("{address} answered {}, which is not HTTP", quote(head)))
            .with_cause("another service listens there, or it speaks TLS only"),
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
            assert!(Address::parse(text).unwrap_err().to_string().contains("is not an address"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", near in "[\\[\\]:/@a-z0-9é]*") {
            for text in [text, near] {
                let _address = Address::parse(&text);
            }
        }
    }
}
