//! Connections with a deadline: TCP, and as much of HTTP/1.1 as the status line needs.
//!
//! There is no TLS, proxy or redirect, and no body is read: the only question is whether a service answers. Two
//! libraries were weighed for it. minreq 3.0.0 takes whole seconds only, lets `$MINREQ_TIMEOUT` change them, and takes
//! the first colon of `http://[::1]:80/` for the port's (`connection.rs`, `http_url.rs`). ureq 3.5 brings ten crates,
//! to read one line. The deadline, the name service and the addresses are the same for `tcp`, which no HTTP library
//! offers.

use crate::record::time::MonotonicTime;
use crate::sys::clock;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The most bytes of an answer that are read in search of its status line; servers bound theirs at 8 or 16 KiB.
const LONGEST_HEAD: usize = 64 << 10;

/// How much of an answer that is no HTTP is waited for.
const TOLD: usize = 64;

/// Why there was no connection or no answer.
#[derive(Debug)]
pub(crate) enum NetError {
    /// The name service knows no address.
    NoAddress(String),
    /// The name service did not answer in time.
    NoNameService,
    /// No address took the connection: the last one's error.
    NotTaken(SocketAddr, io::Error),
    /// The connection stood, and time was over before an answer.
    NoAnswer,
    /// The connection broke before an answer.
    Broken(io::Error),
    /// The answer is no HTTP: its first bytes.
    NotHttp(Vec<u8>),
}

/// Connects to the first address that takes it.
///
/// # Errors
/// [`NetError`]; never later than the deadline.
pub(crate) fn connect(host: &str, port: u16, deadline: MonotonicTime) -> Result<TcpStream, NetError> {
    let addresses = resolve(host, port, deadline)?;
    let mut fault = NetError::NoAddress("it has none".to_owned());
    for (index, address) in addresses.iter().enumerate() {
        // What is left is shared out, so that an address that swallows everything leaves time for the next.
        let left = deadline.since(clock::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        // Zero is refused by std (`connect_timeout`).
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => fault = NetError::NotTaken(*address, error),
        }
    }
    Err(fault)
}

/// Asks the name service, by a thread of its own: getaddrinfo(3) has no time limit.
fn resolve(host: &str, port: u16, deadline: MonotonicTime) -> Result<Vec<SocketAddr>, NetError> {
    let (tell, told) = crossbeam_channel::bounded(1);
    let name = host.to_owned();
    let asking = std::thread::Builder::new().name("resolver".into()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // The caller may have gone.
        let _gone = tell.send(found);
    });
    if let Err(error) = asking {
        return Err(NetError::NoAddress(error.to_string()));
    }
    match told.recv_timeout(deadline.since(clock::now())) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(NetError::NoAddress(error.to_string())),
        Err(_) => Err(NetError::NoNameService),
    }
}

/// Sends one GET and reads the status code of the answer.
///
/// `authority` is what stands in the Host field.
///
/// # Errors
/// [`NetError`]; never later than the deadline.
pub(crate) fn status(
    stream: &TcpStream,
    authority: &str,
    target: &str,
    deadline: MonotonicTime,
) -> Result<u16, NetError> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: dogwatch/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    limit(stream, deadline)?;
    let mut stream = stream;
    stream.write_all(request.as_bytes()).map_err(fault)?;
    let mut head = Vec::new();
    loop {
        let more = more(stream, deadline);
        let ended = matches!(&more, Ok(bytes) if bytes.is_empty());
        let more = more.map(|bytes| head.extend(bytes));
        match (code(&head), more) {
            (Head::Code(code), Ok(())) => return Ok(code),
            // As much as a person needs to know whose words these are.
            (Head::Foreign, Ok(())) if !ended && head.len() < TOLD && !head.contains(&b'\n') => {}
            (Head::Foreign, _) => return Err(NetError::NotHttp(head)),
            (_, Err(fault)) => return Err(fault),
            (Head::Unfinished, Ok(())) if ended && head.is_empty() => {
                return Err(NetError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            (Head::Unfinished, Ok(())) if ended || head.len() > LONGEST_HEAD => return Err(NetError::NotHttp(head)),
            (Head::Unfinished, Ok(())) => {}
        }
    }
}

/// What comes next; nothing at the end.
fn more(mut stream: &TcpStream, deadline: MonotonicTime) -> Result<Vec<u8>, NetError> {
    let mut buffer = vec![0; 4096];
    loop {
        limit(stream, deadline)?;
        match stream.read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(error)),
        }
    }
}

fn limit(stream: &TcpStream, deadline: MonotonicTime) -> Result<(), NetError> {
    let left = deadline.since(clock::now());
    if left.is_zero() {
        return Err(NetError::NoAnswer);
    }
    stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left))).map_err(NetError::Broken)
}

fn fault(error: io::Error) -> NetError {
    // What a socket with a timeout says when that is over (socket(7), SO_RCVTIMEO: EAGAIN).
    let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if late { NetError::NoAnswer } else { NetError::Broken(error) }
}

/// What the beginning of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// The final status code.
    Code(u16),
    /// It may still become one.
    Unfinished,
    /// It is no HTTP/1.
    Foreign,
}

/// The final status code: what is informational (1xx) is passed over, as RFC 9110, 15.2, asks for.
fn code(mut head: &[u8]) -> Head {
    loop {
        let prefix = b"HTTP/1.".iter().zip(head).all(|(expected, found)| expected == found);
        if !prefix {
            return Head::Foreign;
        }
        let Some(end) = head.iter().position(|&byte| byte == b'\n') else { return Head::Unfinished };
        let line = &head[..end];
        let digits = line.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| digits.parse::<u16>().ok());
        let separated = line.get(8) == Some(&b' ');
        match code.filter(|_| separated) {
            None => return Head::Foreign,
            Some(100..=199) => {
                let Some(next) = head.windows(4).position(|four| four == b"\r\n\r\n") else { return Head::Unfinished };
                head = &head[next + 4..];
            }
            Some(code) => return Head::Code(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_final_status_line_counts() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\n", Head::Code(200)),
            ("HTTP/1.0 503\n", Head::Code(503)),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 \r\n", Head::Code(204)),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n", Head::Unfinished),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Head::Unfinished),
            ("", Head::Unfinished),
            ("HTT", Head::Unfinished),
            ("HTTP/1.1 20", Head::Unfinished),
            ("HTTP/1.1 2x0 OK\r\n", Head::Foreign),
            ("HTTP/1.1\r\n", Head::Foreign),
            ("HTTP/2 200\r\n", Head::Foreign),
            ("SSH-2.0-OpenSSH_9.2", Head::Foreign),
        ] {
            assert_eq!(code(head.as_bytes()), expected, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(head in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..80) {
            let _any = code(&head);
            let answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
            let _cut = code(&answer[..cut.min(answer.len())]);
        }
    }
}
