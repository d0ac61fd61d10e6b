//! `netstat -tlnp`: listening sockets in the columns of net-tools.

use super::asker::Sockets;
use crate::program::link::Link;

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let (mut listening, mut all, mut processes, mut tcp, mut udp) = (false, false, false, false, false);
    let mut take = |flag: char| {
        match flag {
            'l' => listening = true,
            'a' => all = true,
            'p' => processes = true,
            't' => tcp = true,
            'u' => udp = true,
            'n' | 'W' | '4' | '6' => {}
            _ => return false,
        }
        true
    };
    for word in &args[1..] {
        let known = match word.as_str() {
            "--listening" => take('l'),
            "--all" => take('a'),
            "--program" | "--programs" => take('p'),
            "--tcp" => take('t'),
            "--udp" => take('u'),
            "--numeric" => true,
            short => short.len() > 1 && short.strip_prefix('-').is_some_and(|flags| flags.chars().all(&mut take)),
        };
        if !known {
            link.stderr(&format!(
                "netstat: invalid option -- '{}' (this netstat knows -l, -a, -t, -u, -n, -p)",
                word.trim_start_matches('-')
            ));
            return 4;
        }
    }
    let Some(sockets) = Sockets::ask(link) else { return 1 };
    let which = match (listening, all) {
        (true, _) => "only servers",
        (false, true) => "servers and established",
        (false, false) => "w/o servers",
    };
    let title = if processes { "       PID/Program name    " } else { "      " };
    let mut text = format!(
        "Active Internet connections ({which})\nProto Recv-Q Send-Q Local Address           Foreign Address         State{title}\n"
    );
    // Nobody is connected for longer than a request takes.
    let mut shown = Vec::new();
    for row in sockets.rows.iter().filter(|_| (listening || all) && (tcp || !udp)) {
        // Of those who share a socket it names the first.
        if shown.contains(&row.device) {
            continue;
        }
        shown.push(row.device);
        let (kind, any) = if row.address.contains(':') { ("tcp6", ":::*") } else { ("tcp", "0.0.0.0:*") };
        let name = if sockets.is_open(row) { format!("{}/{}", row.pid, row.comm) } else { "-".to_owned() };
        let program = if processes { format!(" {name:<19} ") } else { String::new() };
        text.push_str(&format!(
            "{kind:<5}      0      0 {:<23} {any:<23} {:<11}{program}\n",
            format!("{}:{}", row.address, row.port),
            "LISTEN"
        ));
    }
    link.stdout(text.as_bytes());
    0
}
