//! `curl`, as far as operators use it to ask a server whether it is there.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use crate::program::http::{self, Failure, Peer};
use crate::program::link::Link;
use crate::time::Span;

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let mut url = None;
    let (mut silent, mut show_error, mut fail, mut include) = (false, false, false, false);
    let mut output = None;
    let mut write_out = String::new();
    let mut patience = None;
    let mut socket = None;
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().cloned().unwrap_or_default();
        match arg.as_str() {
            "--output" => output = Some(value()),
            "--write-out" => write_out = value(),
            "--max-time" | "--connect-timeout" => patience = Some(value()),
            "--unix-socket" => socket = Some(value()),
            "--silent" => silent = true,
            "--show-error" => show_error = true,
            "--fail" => fail = true,
            "--include" => include = true,
            flags if flags.len() > 1 && flags.starts_with('-') && !flags.starts_with("--") => {
                for (at, flag) in flags[1..].char_indices() {
                    match flag {
                        's' => silent = true,
                        'S' => show_error = true,
                        'f' => fail = true,
                        'i' => include = true,
                        'o' | 'w' | 'm' => {
                            // What is left of the word is the value, or the next word is.
                            let joined = &arg[1 + at + flag.len_utf8()..];
                            let value = if joined.is_empty() { value() } else { joined.to_owned() };
                            match flag {
                                'o' => output = Some(value),
                                'w' => write_out = value,
                                _ => patience = Some(value),
                            }
                            break;
                        }
                        other => return usage(link, &format!("option -{other} is not one that this curl knows")),
                    }
                }
            }
            option if option.starts_with("--") => {
                return usage(link, &format!("option {option} is not one that this curl knows"));
            }
            text => url = Some(text.to_owned()),
        }
    }
    let Some(url) = url else { return usage(link, "no URL specified") };
    let Some(Url { host, ip, port, path }) = parse_url(&url, socket.is_some()) else {
        return usage(link, &format!("{url}: only http:// to this machine is contacted"));
    };
    let deadline = match patience.map(|text| Span::parse(&text)) {
        None => None,
        Some(Ok(span)) => Some(link.now() + span),
        Some(Err(_)) => return usage(link, "option -m: expected a proper numerical parameter"),
    };
    let peer = socket.map_or(Peer::Port(ip, port), Peer::Path);
    let response = match http::get(link, &peer, &path, deadline) {
        Ok(response) => response,
        Err(failure) => {
            let (code, text) = complaint(failure, &host, port);
            if !silent || show_error {
                link.stderr(&format!("curl: ({code}) {text}"));
            }
            if !write_out.is_empty() {
                link.stdout(expand(&write_out, 0).as_bytes());
            }
            return code;
        }
    };
    if fail && response.status >= 400 {
        if !silent || show_error {
            link.stderr(&format!("curl: (22) The requested URL returned error: {}", response.status));
        }
        return 22;
    }
    let mut text = Vec::new();
    if include {
        text.extend_from_slice(response.head.as_bytes());
    }
    text.extend_from_slice(&response.body);
    match output.as_deref() {
        None | Some("-") => link.stdout(&text),
        Some("/dev/null") => {}
        Some(path) => {
            let file = link.mapping().host_path(path);
            if std::fs::File::create(file).and_then(|mut file| file.write_all(&text)).is_err() {
                link.stderr(&format!("curl: (23) cannot write {path}"));
                return 23;
            }
        }
    }
    let failed = response.cut.map(|failure| complaint(failure, &host, port));
    if let Some((code, text)) = &failed
        && (!silent || show_error)
    {
        link.stderr(&format!("curl: ({code}) {text}"));
    }
    link.stdout(expand(&write_out, response.status).as_bytes());
    failed.map_or(0, |(code, _)| code)
}

/// The exit code of a failure, and what is said of it.
fn complaint(failure: Failure, host: &str, port: u16) -> (u8, String) {
    match failure {
        Failure::Refused => {
            (7, format!("Failed to connect to {host} port {port} after 0 ms: Couldn't connect to server"))
        }
        Failure::Timeout => (28, "Operation timed out".to_owned()),
        Failure::Reset => (56, "Recv failure: Connection reset by peer".to_owned()),
        Failure::Empty => (52, "Empty reply from server".to_owned()),
    }
}

fn usage(link: &mut Link, text: &str) -> u8 {
    link.stderr(&format!("curl: {text}"));
    2
}

fn expand(format: &str, status: u16) -> String {
    format
        .replace("%{http_code}", &format!("{status:03}"))
        .replace("%{response_code}", &format!("{status:03}"))
        .replace("\\n", "\n")
}

struct Url {
    /// As typed.
    host: String,
    ip: IpAddr,
    port: u16,
    path: String,
}

/// `http://HOST:PORT/PATH` where HOST is this machine; any name will do if nobody is looked for by it.
fn parse_url(url: &str, any: bool) -> Option<Url> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = rest.split_once('/').map_or((rest, String::from("/")), |(a, p)| (a, format!("/{p}")));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    let ip: IpAddr = match host.trim_matches(['[', ']']) {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        _ if any => Ipv4Addr::LOCALHOST.into(),
        text => text.parse().ok()?,
    };
    // Whoever connects to "any address" connects to this machine.
    (ip.is_loopback() || ip.is_unspecified()).then(|| Url { host: host.to_owned(), ip, port, path })
}
