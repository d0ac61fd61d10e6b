//! One HTTP request as a client, over real TCP, in incident time.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::listener::Stream;
use crate::program::link::{Link, Woke};
use crate::time::IncidentTime;

/// An answer.
pub(super) struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// `x-process-id`, if the server says it.
    pub by: Option<u32>,
    /// How long the body is, if the server says it.
    length: Option<usize>,
    /// What ended it before it was whole.
    pub cut: Option<Failure>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Refused,
    Timeout,
    /// The connection was cut off.
    Reset,
    /// The connection was closed without a whole answer.
    Empty,
}

const MAX_ANSWER: usize = 4 << 20;

/// Whom to ask.
pub(super) enum Peer {
    /// A port of this machine.
    Port(IpAddr, u16),
    /// A socket in the file system.
    Path(String),
}

/// Sends a GET and waits for the end of the answer, until `deadline`.
pub(super) fn get(
    link: &mut Link,
    peer: &Peer,
    path: &str,
    deadline: Option<IncidentTime>,
) -> Result<Response, Failure> {
    // Who is refused has nothing under way.
    let mut stream = connect(link, peer).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::Timeout,
        _ => Failure::Refused,
    })?;
    link.opens(stream.ends());
    let response = ask(link, &mut stream, peer, path, deadline);
    // It is about to be closed.
    link.sends(stream.ends());
    response
}

/// Sends a GET on a connection, and reads what comes.
fn ask(
    link: &mut Link,
    stream: &mut Stream,
    peer: &Peer,
    path: &str,
    deadline: Option<IncidentTime>,
) -> Result<Response, Failure> {
    let host = match peer {
        Peer::Port(ip, port) => SocketAddr::new(*ip, *port).to_string(),
        Peer::Path(_) => "localhost".to_owned(),
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|_| Failure::Reset)?;
    stream.set_nonblocking().map_err(|_| Failure::Reset)?;
    let mut bytes = Vec::new();
    // What has come before a failure is an answer, too.
    let cut = |bytes: &[u8], failure| match parse(bytes) {
        Some(response) => Ok(Response { cut: Some(failure), ..response }),
        None => Err(failure),
    };
    loop {
        let mut chunk = [0u8; 8192];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) if bytes.len() + count <= MAX_ANSWER => {
                bytes.extend_from_slice(&chunk[..count]);
                // However the connection ends then.
                if let Some(mut response) = parse(&bytes)
                    && let Some(length) = response.length.filter(|length| *length <= response.body.len())
                {
                    response.body.truncate(length);
                    return Ok(response);
                }
            }
            Ok(_) => return Err(Failure::Reset),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match link.wait(deadline, 0, true, &[stream.as_fd()]) {
                    Woke::Readable(_) => {}
                    Woke::Deadline | Woke::Signal(_) => return cut(&bytes, Failure::Timeout),
                }
            }
            Err(_) => return cut(&bytes, Failure::Reset),
        }
    }
    parse(&bytes).ok_or(Failure::Empty)
}

fn connect(link: &Link, peer: &Peer) -> io::Result<Stream> {
    match peer {
        Peer::Port(ip, port) => {
            let address = SocketAddr::new(*ip, link.mapping().host_port(*port));
            // The limit is real time and only guards against a full backlog; on loopback connect(2) answers at once.
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            let (local, peer) = (stream.local_addr()?, stream.peer_addr().unwrap_or(address));
            Ok(Stream::Tcp(stream, local, peer))
        }
        Peer::Path(path) => UnixStream::connect(link.mapping().host_path(path)).map(Stream::Unix),
    }
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes).ok()? else { return None };
    let number = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let by = number("x-process-id").and_then(|text| text.parse().ok());
    let length_told = number("content-length").and_then(|text| text.parse().ok());
    Some(Response {
        status: response.code?,
        head: String::from_utf8_lossy(&bytes[..length]).into_owned(),
        body: bytes[length..].to_vec(),
        by,
        length: length_told,
        cut: None,
    })
}
