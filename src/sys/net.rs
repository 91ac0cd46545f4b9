//! Connections with a deadline: TCP, and as much of HTTP/1.1 as the status line needs.
//!
//! There is no TLS, proxy or redirect, and no body is read: the only question is whether a service answers. Two
//! libraries were weighed for it. minreq 3.0.0 takes whole seconds only, lets `$MINREQ_TIMEOUT` change them, and takes
//! the first colon of `http://[::1]:80/` for the port's (`connection.rs`, `http_url.rs`). ureq 3.5 brings ten crates,
//! to read one line. The deadline, the name service and the addresses are the same for `tcp`, which no HTTP library
//! offers.

use crate::record::time::MonotonicTime;
use crate::sys::clock;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The most bytes of an answer that are read in search of its status line; servers bound theirs at 8 or 16 KiB.
const LONGEST_HEAD: u64 = 64 << 10;

/// How much of an answer's line is read: the code is in the first 12 bytes.
const TOLD: u64 = 64;

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
    let no_address = |error: io::Error| NetError::NoAddress(error.to_string());
    asking.map_err(no_address)?;
    let found = told.recv_timeout(deadline.since(clock::now())).map_err(|_| NetError::NoNameService)?;
    found.map_err(no_address)
}

/// Sends one GET and reads the status code of the answer.
///
/// `authority` is what stands in the Host field.
///
/// # Errors
/// [`NetError`]; never later than the deadline.
pub(crate) fn status(stream: &TcpStream, host: &str, target: &str, deadline: MonotonicTime) -> Result<u16, NetError> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: dogwatch/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut stream = TimedStream { stream, deadline };
    stream.write_all(request.as_bytes()).map_err(fault)?;
    // Bounded as a whole, so that no answer is read for ever.
    let mut answer = BufReader::new(stream).take(LONGEST_HEAD);
    loop {
        let mut line = Vec::new();
        // As much as holds the code, and as a person needs to know whose words these are.
        let read = answer.by_ref().take(TOLD).read_until(b'\n', &mut line);
        match (code(&line), read) {
            (Some(100..=199), Ok(_)) => skip_head(&mut answer).map_err(fault)?,
            (Some(code), Ok(_)) => return Ok(code),
            (None, Err(error)) if is_http(&line) => return Err(fault(error)),
            (None, Ok(0)) => return Err(NetError::Broken(io::ErrorKind::UnexpectedEof.into())),
            (_, _) => return Err(NetError::NotHttp(line)),
        }
    }
}

/// Reads the rest of an informational answer, up to the empty line that ends it.
fn skip_head(answer: &mut impl BufRead) -> io::Result<()> {
    let mut line = Vec::new();
    while answer.read_until(b'\n', &mut line)? > 0 && line != b"\r\n" {
        line.clear();
    }
    Ok(())
}

/// A connection of which no read or write goes on past the deadline.
struct TimedStream<'call> {
    stream: &'call TcpStream,
    deadline: MonotonicTime,
}

impl TimedStream<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.since(clock::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for TimedStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for TimedStream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fault(error: io::Error) -> NetError {
    // What a socket with a timeout says when that is over (socket(7), SO_RCVTIMEO: EAGAIN).
    let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if late { NetError::NoAnswer } else { NetError::Broken(error) }
}

/// Whether this can be the beginning of a status line.
fn is_http(line: &[u8]) -> bool {
    b"HTTP/1.".iter().zip(line).all(|(expected, found)| expected == found)
}

/// The code of a status line, of which the end may be missing only where it is longer than what is read of it.
fn code(line: &[u8]) -> Option<u16> {
    let is_whole = line.ends_with(b"\n") || line.len() as u64 == TOLD;
    let digits = line.get(9..12).filter(|_| is_whole && is_http(line) && line[8] == b' ')?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    #[test]
    fn a_status_line_is_told_from_other_words() {
        let long = format!("HTTP/1.1 200 {}", "x".repeat(51));
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503\n", Some(503)),
            (&long, Some(200)),
            ("", None),
            ("HTT", None),
            ("HTTP/1.1 20", None),
            ("HTTP/1.1 200", None),
            ("HTTP/1.1 2x0 OK\r\n", None),
            ("HTTP/1.1\r\n", None),
            ("HTTP/2 200\r\n", None),
            ("SSH-2.0-OpenSSH_9.2\r\n", None),
        ] {
            assert_eq!(code(line.as_bytes()), expected, "{line:?}");
        }
        for (line, expected) in [("", true), ("HTT", true), ("HTTP/1.1 2", true), ("HTTP/2", false), ("SSH", false)] {
            assert_eq!(is_http(line.as_bytes()), expected, "{line:?}");
        }
    }

    /// What is made of a service that answers so and closes the connection.
    fn answered(answer: &'static [u8]) -> Result<u16, NetError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !request.ends_with(b"\r\n\r\n") {
                reader.read_until(b'\n', &mut request).unwrap();
            }
            stream.write_all(answer).unwrap();
        });
        let deadline = clock::now().plus(Duration::from_secs(20));
        let stream = connect("127.0.0.1", port, deadline).unwrap();
        let told = status(&stream, "h", "/", deadline);
        service.join().unwrap();
        told
    }

    #[test]
    fn the_first_final_status_counts_and_what_is_no_answer_is_told() {
        assert_eq!(answered(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), 204);
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 \r\n";
        assert_eq!(answered(hints).unwrap(), 503);
        let long =
            b"HTTP/1.1 103 Early hints, and more words than are read at first of a line\r\n\r\nHTTP/1.1 200 OK\r\n";
        assert_eq!(answered(long).unwrap(), 200);
        for cut in [&b""[..], b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"] {
            assert!(matches!(answered(cut), Err(NetError::Broken(_))), "{cut:?}");
        }
        for other in [&b"HTTP/1.1 20"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\x05\0"] {
            assert!(matches!(answered(other), Err(NetError::NotHttp(said)) if said == other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..80), cut in 0usize..20) {
            let _any = (code(&line), is_http(&line));
            let _cut = code(&b"HTTP/1.1 204 No Content\r\n"[..cut]);
        }
    }
}
