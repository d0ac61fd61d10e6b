//! `ss -ltnp`: listening sockets in iproute2's columns.

use super::asker::Sockets;
use crate::control::SocketRow;
use crate::program::link::Link;

const KNOWN: &str = "-l, -a, -t, -u, -n, -p, -H, -4, -6 and sport = :PORT";

#[derive(Default)]
struct Options {
    listening: bool,
    tcp: bool,
    udp: bool,
    processes: bool,
    no_header: bool,
    four: bool,
    six: bool,
    filter: Vec<String>,
}

impl Options {
    fn take(&mut self, flag: char) -> bool {
        match flag {
            'l' | 'a' => self.listening = true,
            't' => self.tcp = true,
            'u' => self.udp = true,
            'p' => self.processes = true,
            'H' => self.no_header = true,
            '4' => self.four = true,
            '6' => self.six = true,
            'n' | 'O' => {}
            _ => return false,
        }
        true
    }
}

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let mut options = Options::default();
    for word in &args[1..] {
        let known = match (word.as_str(), word.strip_prefix('-')) {
            ("--listening" | "--all", _) => options.take('l'),
            ("--tcp", _) => options.take('t'),
            ("--udp", _) => options.take('u'),
            ("--numeric", _) => true,
            ("--processes", _) => options.take('p'),
            ("--no-header", _) => options.take('H'),
            ("--ipv4", _) => options.take('4'),
            ("--ipv6", _) => options.take('6'),
            (_, Some(flags)) => !flags.is_empty() && flags.chars().all(|flag| options.take(flag)),
            (_, None) => {
                // Brackets need no blanks around them.
                let words = word.replace('(', " ( ").replace(')', " ) ");
                options.filter.extend(words.split_ascii_whitespace().map(str::to_owned));
                true
            }
        };
        if !known {
            link.stderr(&format!("ss: invalid option -- '{word}' (this ss knows {KNOWN})"));
            return 255;
        }
    }
    let Some(ports) = ports(&options.filter) else {
        link.stderr(&format!(
            "ss: bison bellows (while parsing filter): \"syntax error!\" in `{}` (this ss knows {KNOWN})",
            options.filter.join(" ")
        ));
        return 255;
    };
    let Some(sockets) = Sockets::ask(link) else { return 1 };
    // Nobody is connected for longer than a request takes, so there is nothing but who listens, on TCP.
    let shown = options.listening && (options.tcp || !options.udp);
    let rows: Vec<&SocketRow> = sockets
        .rows
        .iter()
        .filter(|row| shown && ports.as_ref().is_none_or(|ports| ports.contains(&row.port)))
        .filter(|row| options.four == options.six || options.six == row.address.contains(':'))
        .collect();
    let text = table(&options, &sockets, &rows);
    link.stdout(text.as_bytes());
    0
}

/// The columns are as wide as what is in them, headings included.
fn table(options: &Options, sockets: &Sockets, rows: &[&SocketRow]) -> String {
    let titled = |title: &str, least: usize| if options.no_header { least } else { least.max(title.len()) };
    let address_width =
        |title: &str, addresses: &[String]| addresses.iter().map(String::len).max().unwrap_or(0).max(titled(title, 0));
    let locals: Vec<String> = rows.iter().map(|row| address(row)).collect();
    let peers: Vec<String> = rows
        .iter()
        .map(|row| {
            if row.dual {
                "*"
            } else if row.address.contains(':') {
                "[::]"
            } else {
                "0.0.0.0"
            }
            .to_owned()
        })
        .collect();
    let (local, peer) = (address_width("Local Address", &locals), address_width("Peer Address", &peers));
    let port = rows.iter().map(|row| row.port.to_string().len()).max().unwrap_or(0).max(titled("Port", 0));
    let state = if rows.is_empty() { "State".len() } else { "LISTEN".len() };
    // One kind of socket needs no column that names it.
    let kinds = options.tcp == options.udp;
    let mut text = String::new();
    if !options.no_header {
        let kind = if kinds { "Netid " } else { "" };
        text.push_str(&format!(
            "{kind}{:<state$} Recv-Q Send-Q {:>local$}:{:<port$} {:>peer$}:PortProcess\n",
            "State", "Local Address", "Port", "Peer Address"
        ));
    }
    let mut shown = Vec::new();
    for ((row, from), to) in rows.iter().zip(&locals).zip(&peers) {
        // A socket that several have is one socket; whoever got it last comes first, and has set its backlog.
        if shown.contains(&row.device) {
            continue;
        }
        shown.push(row.device);
        let mut holders: Vec<&SocketRow> = rows.iter().filter(|other| other.device == row.device).copied().collect();
        holders.sort_by_key(|holder| std::cmp::Reverse((holder.pid, holder.fd)));
        let backlog = holders.first().map_or(row.backlog, |holder| holder.backlog);
        let kind = if kinds { "tcp   " } else { "" };
        let any = titled("Port", 1);
        let users = if options.processes {
            let known = holders.iter().filter(|holder| sockets.is_open(holder));
            let users: Vec<String> =
                known.map(|SocketRow { comm, pid, fd, .. }| format!("(\"{comm}\",pid={pid},fd={fd})")).collect();
            if users.is_empty() { String::new() } else { format!("users:({})", users.join(",")) }
        } else {
            String::new()
        };
        let line = format!(
            "{kind}{:<state$} 0      {:<6} {from:>local$}:{:<port$} {to:>peer$}:{:<any$} {users}",
            "LISTEN", backlog, row.port, "*"
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The ports that a filter lets through; all without one. `sport` and `dport` terms joined by `or`; the far end of
/// a listening socket has no port, so `dport` finds nothing.
fn ports(filter: &[String]) -> Option<Option<Vec<u16>>> {
    let words: Vec<&str> = filter.iter().map(String::as_str).filter(|word| !matches!(*word, "(" | ")")).collect();
    if words.is_empty() {
        return Some(None);
    }
    let mut ports = Vec::new();
    for term in words.split(|word| matches!(*word, "or" | "||" | "|")) {
        let (side, port) = match term {
            [side, "=" | "eq" | "==", port] | [side, port] => {
                (*side, port.trim_start_matches(':').parse::<u16>().ok()?)
            }
            _ => return None,
        };
        match side {
            "sport" => ports.push(port),
            "dport" => {}
            _ => return None,
        }
    }
    Some(Some(ports))
}

fn address(row: &SocketRow) -> String {
    match row.address.as_str() {
        _ if row.dual => "*".to_owned(),
        six if six.contains(':') => format!("[{six}]"),
        four => four.to_owned(),
    }
}
