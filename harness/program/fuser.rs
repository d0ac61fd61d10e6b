//! `fuser 8000/tcp`: who holds a port, and `-k` to be rid of him.

use nix::sys::signal::Signal;

use super::asker::Sockets;
use crate::control::{Answer, Query};
use crate::program::link::Link;

pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let (mut kill, mut silent, mut space) = (false, false, None);
    let mut signal = Signal::SIGKILL as i32;
    let mut ports = Vec::new();
    let mut words = args[1..].iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-n" | "--namespace" => space = words.next().map(String::as_str),
            "-k" | "--kill" => kill = true,
            "-s" | "--silent" => silent = true,
            "-4" | "-6" => {}
            "-ks" | "-sk" => (kill, silent) = (true, true),
            option if option.starts_with('-') && option.len() > 1 => match super::tool::signal_by_name(&option[1..]) {
                Some(number) => signal = number,
                None => {
                    link.stderr(&format!(
                        "fuser: unknown option {option} (this fuser knows PORT/tcp, -n tcp, -k, -s, -SIGNAL)"
                    ));
                    return 1;
                }
            },
            name => {
                let port = match name.split_once('/') {
                    Some((port, "tcp")) => port.parse().ok(),
                    None if space == Some("tcp") => name.parse().ok(),
                    _ => None,
                };
                let Some(port) = port.filter(|port: &u16| *port > 0) else {
                    link.stderr(&format!(
                        "Specified filename {name} does not exist. (this fuser knows ports only: 8000/tcp)"
                    ));
                    return 1;
                };
                ports.push(port);
            }
        }
    }
    if ports.is_empty() {
        link.stderr("No process specification given");
        return 1;
    }
    let Some(sockets) = Sockets::ask(link) else { return 1 };
    let mut found = false;
    for port in ports {
        let mut pids: Vec<u32> =
            sockets.rows.iter().filter(|row| row.port == port && sockets.is_open(row)).map(|row| row.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        if pids.is_empty() {
            continue;
        }
        found = true;
        if !silent {
            // The name goes to standard error and the PIDs alone to standard output, for scripts.
            let list: String = pids.iter().map(|pid| format!(" {pid:>5}")).collect();
            link.stderr_part(&format!("{:<20}", format!("{port}/tcp:")));
            link.stdout(list.as_bytes());
            link.stderr("");
        }
        for pid in pids.into_iter().filter(|_| kill) {
            if let Answer::Killed(Some(reason)) = link.ask(Query::Kill { pid: pid.into(), signal }) {
                link.stderr(&format!("Could not kill process {pid}: {reason}"));
            }
        }
    }
    u8::from(!found)
}
