//! The pure manager without processes: restart cycles a second of processor time, and what a cycle costs next to
//! writing its own journal lines. Processor time, since a machine that does other things beside would else be measured.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use relapse::manager::{Config, Effect, Exit, Host, Input, JobMode, JobVerb, Manager, PathKind, Pid, Process, Request};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{FileEntry, Files, Profile};

const CYCLES: u32 = 200_000;
const ROUNDS: usize = 7;
const UNIT: &str = "lumiera-whatsapp.service";
const TEXT: &str = "[Unit]\nDescription=Lumiera WhatsApp Copilot API\n[Service]\nExecStart=/bin/server\nRestart=always\nRestartSec=10\n";

struct Bare {
    next: Pid,
    alive: Option<Pid>,
    files: Files,
}

impl Host for Bare {
    fn fork(&mut self) -> Pid {
        self.next += 1;
        self.alive = Some(self.next);
        self.next
    }
    fn unit_files(&self) -> &Files {
        &self.files
    }
    fn stat(&self, _: &str) -> Option<PathKind> {
        Some(PathKind::File { executable: true, empty: false })
    }
    fn processes(&self, _: &str) -> Vec<Process> {
        self.alive.map(|pid| Process { pid, comm: "server".into(), parent: 1 }).into_iter().collect()
    }
    fn cpu_time(&self, _: &str) -> Span {
        Span::ZERO
    }
}

/// The processor time of this process, which has one thread.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock").into()
}

/// The manager alone: starts, exits, waits, restarts. Returns the time and the lines that it logged.
fn cycles() -> (Duration, usize) {
    let boot = IncidentTime::from_micros(1_768_565_940_000_000);
    let mut host = Bare { next: 1000, alive: None, files: Files::default() };
    let entry = FileEntry::Regular { content: TEXT.as_bytes().to_vec(), generation: 1 };
    host.files.entries.insert(format!("/etc/systemd/system/{UNIT}"), entry);
    let mut manager = Manager::new(Config { profile: Profile::V252, boot, timer_phase: Span::ZERO, seed: 1 });
    let mut now = boot + Span::from_secs(60);
    manager.step(now, &mut host, Input::Boot);
    let start = Request::Job { verb: JobVerb::Start, unit: UNIT.into(), mode: JobMode::Replace };
    manager.step(now, &mut host, Input::Request { id: 1, request: start });
    let mut lines = 0;
    let begin = spent();
    for _ in 0..CYCLES {
        now += Span::from_millis(4440);
        let pid = host.alive.take().expect("it runs");
        let exited = manager.step(now, &mut host, Input::Exited { pid, exit: Exit::Code(1) });
        now = manager.next_deadline().expect("the restart timer is armed");
        let restarted = manager.step(now, &mut host, Input::Elapsed);
        let logged = |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Journal(_))).count();
        lines += logged(&exited) + logged(&restarted);
    }
    let took = spent() - begin;
    assert_eq!(lines, CYCLES as usize * 5, "two lines at the exit, three at the restart");
    (took, lines)
}

/// As many lines as that, made the plain way.
fn lines(count: usize) -> Duration {
    let begin = spent();
    for number in 0..count {
        let line = format!("{UNIT}: Scheduled restart job, restart counter is at {number}.");
        std::hint::black_box((line, UNIT.to_owned(), format!("{number:032x}")));
    }
    spent() - begin
}

fn main() {
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (took, count) = cycles();
        let plain = lines(count);
        if round > 0 {
            rates.push(f64::from(CYCLES) / took.as_secs_f64());
            ratios.push(took.as_secs_f64() / plain.as_secs_f64());
        }
    }
    rates.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    println!("restart cycles a second of processor time, pure manager: {:.0} (median of {ROUNDS})", rates[ROUNDS / 2]);
    println!("ratio to formatting its journal lines: {:.2}", ratios[ROUNDS / 2]);
}
