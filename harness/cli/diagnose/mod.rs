//! `relapse diagnose`: who has the port on this host, which unit fights for it, and what to do. Read-only.

mod ask;
mod look;
mod units;

use super::USAGE;
use super::run::{complain, say};
use crate::diagnose::{Facts, Verdict, json, judge, text};
use crate::sys;
use crate::sys::listening::listening;
use crate::sys::processes::{Proc, Search, owners};
use crate::time::IncidentTime;
use crate::timeline::printable;
use crate::unit::name;

const HELP: &str = "\
It looks at this host and changes nothing: sockets that listen (sock_diag, else /proc/net), their processes
and control groups, `systemctl show` and `journalctl`. Commands that it suggests are printed, never run.
Without UNIT and --port it looks at all units that restart, and at all ports that two servers have.

Root is not needed, but what only root may see is named where it was missed. Times are UTC.

Exit codes: 0 healthy, 1 a problem was found, 2 bad usage, or what had to be looked at could not be seen.";

/// Who has the port on this host, which unit fights for it, since when, and what to do
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The unit; `.service` may be left out
    #[arg(value_name = "UNIT", value_parser = unit)]
    unit: Option<String>,
    /// The port that is fought for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Ask the user's own manager instead of the system's
    #[arg(long)]
    user: bool,
    /// Only say who has the port, without asking systemd: PID, address and command line; always 0, or 2
    #[arg(long, requires = "port", conflicts_with_all = ["unit", "user"])]
    holder: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

fn unit(text: &str) -> Result<String, String> {
    let full = if text.contains('.') && name::is_valid(text) { text.to_owned() } else { format!("{text}.service") };
    let known = full.ends_with(".service") || full.ends_with(".socket");
    match name::is_valid(&full) && known {
        true => Ok(full),
        false => Err("expected the name of a service or a socket unit, such as app.service".to_owned()),
    }
}

pub(super) fn main(args: &Args) -> u8 {
    let answered = match args.holder.then_some(args.port).flatten() {
        Some(port) => holder(port),
        None => diagnose(args),
    };
    answered.unwrap_or_else(|why| {
        complain(&format!("error: {}", printable(&why)));
        USAGE
    })
}

fn diagnose(args: &Args) -> Result<u8, String> {
    let mut facts = Facts {
        now: IncidentTime::from_micros(sys::real_time()),
        asker: nix::unistd::geteuid().as_raw(),
        user_manager: args.user,
        unit: args.unit.clone(),
        port: args.port,
        ..Facts::default()
    };
    // Units first: a process that they started meanwhile is seen then.
    units::units(&mut facts)?;
    look::listeners(&mut facts)?;
    let diagnosis = judge(&facts);
    say(&match args.format.as_str() {
        "json" => json(&facts, &diagnosis),
        _ => text(&facts, &diagnosis),
    });
    Ok(match diagnosis.verdict(&facts) {
        Verdict::Healthy => 0,
        Verdict::Problem => 1,
        Verdict::Unknown => USAGE,
    })
}

/// Who has a port, and nothing else: the first process found for each of its sockets.
fn holder(port: u16) -> Result<u8, String> {
    let failed = |error: std::io::Error| format!("the sockets of this host cannot be seen: {error}");
    let (sockets, _) = listening(Some(port)).map_err(failed)?;
    let proc = Proc::open().map_err(failed)?;
    let found = owners(&proc, &sockets, Search::First).map_err(failed)?.found;
    let mut out = String::new();
    for socket in &sockets {
        let pid = found.range((socket.inode, 0)..).next().filter(|(inode, _)| *inode == socket.inode);
        let at = std::net::SocketAddr::new(socket.address, socket.port);
        match pid {
            Some((_, pid)) => out.push_str(&format!("{pid} {at} {}\n", printable(&sys::process::cmdline(*pid)))),
            None => out.push_str(&format!("- {at} (of user {}, not to be seen)\n", socket.uid)),
        }
    }
    if out.is_empty() {
        complain(&format!("nobody listens on port {port}"));
    } else {
        say(&out);
    }
    Ok(0)
}
