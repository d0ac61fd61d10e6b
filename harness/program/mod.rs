//! What a process of a run becomes by its `argv[0]`: the guard, a stand-in server, the polling client, or one of the
//! commands an operator types. All of them are this one executable.

mod asker;
mod bus;
mod child;
mod client;
mod curl;
mod date;
mod exec;
mod flock;
mod fuser;
mod guard;
mod http;
mod incident_dates;
mod keeper;
mod killall;
mod link;
mod listener;
mod lsof;
mod netstat;
mod pgrep;
mod ps;
mod server;
mod shell;
mod ss;
mod time_commands;
mod tool;

use std::os::unix::process::CommandExt;

use crate::control::Role;
use crate::mapping::SHELLS;
pub(crate) use bus::{BUS, MOMENTS};
pub(crate) use keeper::{EXECUTABLE, GUARD_SOCKET, KEEPER};
use link::Link;
pub(crate) use shell::{arm as arm_shell, arm_script, real as real_shell};

/// `argv[0]` of the guard.
pub const GUARD: &str = "relapse-guard";
/// `argv[0]` of the polling client.
pub const CLIENT: &str = "relapse-client";

/// `argv[0]` of a run that has a machine of its own, within that.
pub(crate) const INSIDE: &str = "relapse-inside";

/// Commands of a run that run another one.
pub(crate) const PASS_ON: &[&str] = &["flock", "sudo", "timeout", "watch"];

/// If this process was started by a run, does what it was started for and ends; else returns.
///
/// Call it first in `main` of a program that calls [`crate::Scenario::run`], so that the program itself can serve
/// as its runs' helpers.
pub fn init() {
    let mut args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let Some(first) = args.first().cloned() else { return };
    let name = first.rsplit('/').next().unwrap_or(&first).to_owned();
    if name == GUARD {
        std::process::exit(i32::from(guard::main(&args)));
    }
    let stage = match name.as_str() {
        exec::NAME => Some(exec::main(&args)),
        KEEPER => Some(keeper::keep()),
        BUS => Some(bus::main(&args)),
        keeper::BOOT => Some(keeper::boot(&args)),
        keeper::INIT => Some(keeper::init(&args)),
        INSIDE => Some(crate::run::inside()),
        _ => None,
    };
    if let Some(code) = stage {
        std::process::exit(i32::from(code));
    }
    let alone = std::env::var(crate::control::ENV_ALONE).ok();
    if alone.is_none() && std::env::var_os(crate::control::ENV_CONTROL).is_none() {
        crate::run::setup::can_be_helper();
        return;
    }
    if SHELLS.contains(&name.as_str()) {
        std::process::exit(shell::main(&name, &mut args));
    }
    let connected = match alone {
        Some(json) => serde_json::from_str(&json).map(Link::alone).map_err(std::io::Error::from),
        None => Link::connect(&args),
    };
    let (mut link, role) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            eprintln!("{name}: {error}");
            std::process::exit(125);
        }
    };
    // What a shell was given in host coordinates, our programs take in the incident's; but what they only pass on to
    // other programs must stay the host's.
    if !PASS_ON.contains(&name.as_str()) {
        for arg in args.iter_mut().skip(1) {
            *arg = link.mapping().to_incident(arg);
        }
    }
    let code = match role {
        Role::Server(role) => server::main(&mut link, &args, *role),
        Role::Client(role) => client::main(&mut link, &role),
        Role::Real(path) => {
            let rest = match link.wall_scale().filter(|_| name == "journalctl") {
                Some(scale) => incident_dates::on_the_host(&args[1..], link.now(), scale),
                None => args[1..].to_vec(),
            };
            let error = std::process::Command::new(&path).arg0(first).args(rest).exec();
            eprintln!("{name}: {path}: {error}");
            126
        }
        Role::Tool => {
            link.speak_to_host();
            command(&mut link, &name, &args)
        }
    };
    link.exiting(code);
    std::process::exit(i32::from(code));
}

fn command(link: &mut Link, name: &str, args: &[String]) -> u8 {
    match name {
        "curl" => curl::main(link, args),
        "date" => date::main(link, args),
        "flock" => flock::main(link, args),
        "sleep" => time_commands::sleep(link, args),
        "timeout" => time_commands::timeout(link, args),
        "watch" => time_commands::watch(link, args),
        "systemctl" | "journalctl" | "systemd-escape" => tool::forward(link, args),
        "systemd-notify" => tool::notify(link, args),
        "kill" => tool::kill(link, args),
        "pkill" | "pgrep" => pgrep::main(link, name, args),
        "killall" => killall::killall(link, args),
        "pidof" => killall::pidof(link, args),
        "fuser" => fuser::main(link, args),
        "netstat" => netstat::main(link, args),
        "sudo" => tool::sudo(link, args),
        "ps" => ps::main(link, args),
        "lsof" => lsof::main(link, args),
        "ss" => ss::main(link, args),
        other => {
            eprintln!(
                "{other}: no program block of the scenario describes `{}`; add one, or give it a match",
                args.join(" ")
            );
            127
        }
    }
}
