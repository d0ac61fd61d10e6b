//! One HTTP request as a client, over real TCP, in incident time.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::program::link::{Link, Woke};
use crate::time::IncidentTime;

/// A whole answer.
pub(super) struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// `x-process-id`, if the server says it.
    pub by: Option<u32>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Refused,
    Timeout,
    Reset,
}

const MAX_ANSWER: usize = 4 << 20;

/// Sends a GET and waits for the end of the answer, until `deadline`.
pub(super) fn get(
    link: &mut Link,
    ip: IpAddr,
    port: u16,
    path: &str,
    deadline: Option<IncidentTime>,
) -> Result<Response, Failure> {
    let address = SocketAddr::new(ip, link.mapping().host_port(port));
    // The limit is real time and only guards against a full backlog; on loopback connect(2) answers at once.
    let mut stream =
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Failure::Timeout,
            _ => Failure::Refused,
        })?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {ip}:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|_| Failure::Reset)?;
    stream.set_nonblocking(true).map_err(|_| Failure::Reset)?;
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0u8; 8192];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) if bytes.len() + count <= MAX_ANSWER => bytes.extend_from_slice(&chunk[..count]),
            Ok(_) => return Err(Failure::Reset),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match link.wait(deadline, 0, true, &[stream.as_fd()]) {
                    Woke::Readable(_) => {}
                    Woke::Deadline | Woke::Signal(_) => return Err(Failure::Timeout),
                }
            }
            Err(_) => return Err(Failure::Reset),
        }
    }
    parse(&bytes).ok_or(Failure::Reset)
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes).ok()? else { return None };
    let by = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("x-process-id"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    Some(Response {
        status: response.code?,
        head: String::from_utf8_lossy(&bytes[..length]).into_owned(),
        body: bytes[length..].to_vec(),
        by,
    })
}
