//! The only place that joins the pure half (manager, timeline, claims) and the real half (processes, sockets).
//! The clocks live here.

mod clock;
mod console;
mod guard;
mod incident;
mod layout;
mod machine;
mod quiet;
pub(crate) mod setup;
mod tools;
mod tree;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use clock::ClockKind;

/// Set from outside to end a run early.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to end: its processes are killed, its directory is removed or kept as asked.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Why a run could not go on. None of these is a verdict on a claim.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was asked to end.
    #[error("the run was asked to end")]
    Canceled,
    /// A process of ours did not come back to the protocol, or a foreign one went on and on.
    #[error(
        "stall: {}`{command}` {why} within {} s of real time; raise --stall if the machine is that slow",
        pid.map(|pid| format!("pid {pid} ")).unwrap_or_default(),
        after.as_secs()
    )]
    Stalled {
        /// Incident PID.
        pid: Option<u32>,
        /// Its command line.
        command: String,
        /// What it did not do.
        why: String,
        /// The watchdog's patience.
        after: Duration,
    },
    /// A foreign process has a clock of its own.
    #[error(
        "`{command}` cannot run in lock-step: it sleeps on its own timer or serves by itself (in {call}); \
         use the commands that a run provides (sleep, timeout, watch, curl), describe it with a program block, \
         or run with --clock real"
    )]
    NotInLockstep {
        /// Its command line.
        command: String,
        /// The system call it sleeps in.
        call: String,
    },
    /// Nobody runs and nobody waits for a moment.
    #[error("nothing can happen any more: {waiting}")]
    Deadlock {
        /// Who waits for what.
        waiting: String,
    },
}

/// Temporary probe.
pub fn probe() -> Result<(), Fault> {
    use crate::control::{ServerRole, Sigterm};
    use crate::time::{IncidentTime, Span};
    let dir = tempfile::Builder::new().prefix("relapse-").tempdir()?;
    let path = dir.keep();
    let role = ServerRole { name: "uvicorn".into(), startup: Span::from_millis(4300), startup_cpu: 85, log_file: Some("/home/c/logs/app.log".into()), on_start: vec!["FSM".into()], on_shutdown: vec!["bye".into()], teardown: Span::from_millis(40), bind_before_startup: false, exit_on_bind_error: 1, sigterm: Sigterm::Defer, handlers_after: Span::from_millis(150), notice: Span::from_millis(100)};
    let s = setup::Setup { clock: ClockKind::Virtual, start: IncidentTime::from_micros(1768565940000000), profile: crate::unit::Profile::V252, timer_phase: Span::ZERO, hostname: "vm".into(), first_pid: 3368901, ports: [8000].into(), stand_ins: vec![incident::StandIn{names: vec!["python".into()], words: vec!["uvicorn".into()], role, startup: vec![Span::from_millis(4300)], starts: 0}], executables: vec!["/home/c/venv/bin/python".into()], files: vec![("/home/c/run.sh".into(), b"#!/bin/sh\nexec /home/c/venv/bin/python -m uvicorn --host 0.0.0.0 --port 8000\n".to_vec())], directories: vec![], client: None, console_user: "ceeai".into(), stall: Duration::from_secs(10), cancel: Cancel::default() };
    let mut i = incident::Incident::begin(s, &path, setup::helper(None)?)?;
    let mut n = 0;
    for cmd in ["date", "echo $PATH; which sleep; ls -la /tmp/relapse*/bin", "./run.sh &", "date; sleep 4; date; sh -c 'sleep 4; exit 3'", "curl -s http://127.0.0.1:8000/health; ps aux; lsof -i :8000; ss -ltnp; ps aux | grep uvicorn | grep -v grep | wc -l", "timeout 10 watch -n 5 date", "./run.sh", "kill $P; sleep 1; cat logs/app.log; x=$(sleep 3; date); echo $x", "date"] {
        n += 1;
        let t = std::time::Instant::now();
        let r = i.command(n, cmd, "/home/c", &[("P".to_string(), "3368901".to_string())].into(), IncidentTime::NEVER)?;
        eprintln!("$ {cmd}   [{:?}]\n{}", t.elapsed(), r.map(|r| format!("{}? {}", r.output, r.status)).unwrap_or_default());
    }
    eprint!("{}", i.timeline.to_jsonl());
    i.end(false)
}
