//! `ss -ltnp`: listening sockets in iproute2's columns.

use crate::control::{Answer, Query, SocketRow};
use crate::program::link::Link;

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let mut header = true;
    let mut processes = false;
    let mut filter = Vec::new();
    for word in &args[1..] {
        match word.strip_prefix('-') {
            Some(flags) if !flags.is_empty() && flags.chars().all(|flag| "ltnpHa46".contains(flag)) => {
                header &= !flags.contains('H');
                processes |= flags.contains('p');
            }
            Some(_) => {
                link.stderr(&format!("ss: invalid option {word} (this ss knows -l -t -n -p -H -a and sport = :PORT)"));
                return 255;
            }
            None => filter.extend(word.split_ascii_whitespace().map(str::to_owned)),
        }
    }
    let filter: Vec<&str> = filter.iter().map(String::as_str).filter(|word| !matches!(*word, "(" | ")")).collect();
    let port = match filter.as_slice() {
        [] => None,
        ["sport", "=" | "eq" | "==", port] | ["sport", port] => match port.trim_start_matches(':').parse::<u16>() {
            Ok(port) => Some(port),
            Err(_) => return bad_filter(link, &filter),
        },
        _ => return bad_filter(link, &filter),
    };
    let Answer::Sockets { rows } = link.ask(Query::Sockets) else { return 1 };
    let rows: Vec<&SocketRow> = rows.iter().filter(|row| port.is_none_or(|port| row.port == port)).collect();
    let local = rows.iter().map(|row| address(&row.address).len()).max().unwrap_or(0).max("Local Address".len());
    let mut text = String::new();
    if header {
        text.push_str(&format!("State  Recv-Q Send-Q {:>local$}:Port Peer Address:PortProcess\n", "Local Address"));
    }
    for row in rows {
        let peer = if row.address.contains(':') { "[::]" } else { "0.0.0.0" };
        let users =
            if processes { format!("users:((\"{}\",pid={},fd={}))", row.comm, row.pid, row.fd) } else { String::new() };
        let line = format!(
            "LISTEN 0      {:<6} {:>local$}:{:<4} {peer:>12}:{:<4} {users}",
            row.backlog,
            address(&row.address),
            row.port,
            "*"
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    link.stdout(text.as_bytes());
    0
}

fn address(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

fn bad_filter(link: &mut Link, filter: &[&str]) -> u8 {
    link.stderr(&format!("ss: bison bellows (while parsing filter): \"syntax error!\" in `{}`", filter.join(" ")));
    255
}
