//! `lsof -i`: who listens, in lsof's columns.

use super::asker::Sockets;
use crate::control::SocketRow;
use crate::program::link::Link;

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let mut terse = false;
    let mut numeric = false;
    let mut internet = None;
    let mut words = args[1..].iter().peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-t" => terse = true,
            "-n" | "-nP" | "-Pn" => numeric = true,
            "-P" => {}
            "-ti" => {
                terse = true;
                internet = Some(words.next_if(|next| !next.starts_with('-')).cloned().unwrap_or_default());
            }
            "-i" => internet = Some(words.next_if(|next| !next.starts_with('-')).cloned().unwrap_or_default()),
            text if text.starts_with("-ti") => {
                terse = true;
                internet = Some(text[3..].to_owned());
            }
            text if text.starts_with("-i") => internet = Some(text[2..].to_owned()),
            text if text.starts_with("-s") => {}
            other => {
                link.stderr(&format!(
                    "lsof: unsupported option argument: {other} (this lsof knows -i [4|6][tcp][:port], -t, -n, -P, -s)"
                ));
                return 1;
            }
        }
    }
    let Some(selector) = internet else {
        link.stderr("lsof: this lsof lists network files only: use -i");
        return 1;
    };
    let Some(filter) = Filter::parse(&selector) else {
        link.stderr(&format!("lsof: unacceptable port specification in: -i {selector}"));
        return 1;
    };
    let Some(sockets) = Sockets::ask(link) else { return 1 };
    // Of others' processes it sees no descriptors, so that their sockets are not there at all.
    let mut rows: Vec<&SocketRow> =
        sockets.rows.iter().filter(|row| filter.takes(row) && sockets.is_open(row)).collect();
    rows.sort_by_key(|row| (row.pid, row.fd));
    let mut text = String::new();
    if terse {
        let mut pids: Vec<u32> = rows.iter().map(|row| row.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        for pid in pids {
            text.push_str(&format!("{pid}\n"));
        }
    } else if !rows.is_empty() {
        let width = |least: usize, of: &dyn Fn(&SocketRow) -> usize| {
            rows.iter().map(|row| of(row)).max().unwrap_or(0).max(least)
        };
        let command = width(7, &|row| row.comm.chars().take(9).count());
        let pid = width(3, &|row| row.pid.to_string().len());
        let user = width(4, &|row| row.user.len());
        let device = width(6, &|row| row.device.to_string().len());
        text.push_str(&format!(
            "{:<command$} {:>pid$} {:>user$} {:>4}   TYPE {:>device$} SIZE/OFF NODE NAME\n",
            "COMMAND", "PID", "USER", "FD", "DEVICE"
        ));
        for row in &rows {
            let kind = if row.address.contains(':') { "IPv6" } else { "IPv4" };
            text.push_str(&format!(
                "{:<command$} {:>pid$} {:>user$} {:>4}u  {kind} {:>device$} {:>8} {:>4} {}:{} (LISTEN)\n",
                row.comm.chars().take(9).collect::<String>(),
                row.pid,
                row.user,
                row.fd,
                row.device,
                "0t0",
                "TCP",
                host(&row.address, numeric),
                row.port
            ));
        }
    }
    link.stdout(text.as_bytes());
    u8::from(rows.is_empty())
}

fn host(address: &str, numeric: bool) -> String {
    match address {
        "0.0.0.0" | "::" => "*".to_owned(),
        "127.0.0.1" if !numeric => "localhost".to_owned(),
        six if six.contains(':') => format!("[{six}]"),
        four => four.to_owned(),
    }
}

/// `[46][tcp|udp][@host][:ports]`.
struct Filter {
    version: Option<char>,
    ports: Option<Vec<std::ops::RangeInclusive<u16>>>,
    tcp: bool,
}

impl Filter {
    fn parse(text: &str) -> Option<Filter> {
        let lower = text.to_ascii_lowercase();
        let (head, ports) = match lower.split_once(':') {
            Some((head, ports)) => (head.to_owned(), Some(ports.to_owned())),
            None => (lower, None),
        };
        let (version, protocol) = match head.chars().next() {
            Some(version @ ('4' | '6')) => (Some(version), head[1..].to_owned()),
            _ => (None, head),
        };
        let tcp = match protocol.split('@').next().unwrap_or_default() {
            "" | "tcp" => true,
            "udp" => false,
            _ => return None,
        };
        let ports = match ports {
            None => None,
            Some(list) => Some(
                list.split(',')
                    .map(|item| match item.split_once('-') {
                        Some((low, high)) => Some(low.parse().ok()?..=high.parse().ok()?),
                        None => item.parse().ok().map(|port| port..=port),
                    })
                    .collect::<Option<Vec<_>>>()?,
            ),
        };
        Some(Filter { version, ports, tcp })
    }

    fn takes(&self, row: &SocketRow) -> bool {
        let version = if row.address.contains(':') { '6' } else { '4' };
        self.tcp
            && self.version.is_none_or(|wanted| wanted == version)
            && self.ports.as_ref().is_none_or(|ports| ports.iter().any(|range| range.contains(&row.port)))
    }
}
