//! What lock-step costs: one incident cycle against a plain loop that spawns the same stand-in, in the same run.
//!
//! Prints ratios; absolute times mean nothing on a shared machine. With RELAPSE_BENCH_STRICT set it ends with 1 if the
//! ratio is over its bound.

#![expect(clippy::print_stdout, reason = "the ratio is what it is for")]

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use relapse::control::{ENV_ALONE, Mapping, Notify, Role, ServerRole, Sigterm, Welcome};
use relapse::time::{IncidentTime, Span};
use relapse::{Options, Scenario, Verdict};

const CYCLES: u32 = 200;
const ROUNDS: usize = 7;
const BOUND: f64 = 2.0;

fn main() {
    relapse::init();
    let mut plain = Vec::new();
    let mut cycle = Vec::new();
    // One round of each is not counted.
    for round in 0..=ROUNDS {
        let (a, b) = (plain_loop(), incident());
        if round > 0 {
            plain.push(a);
            cycle.push(b);
        }
    }
    let mut ratios: Vec<f64> = cycle.iter().zip(&plain).map(|(b, a)| b.as_secs_f64() / a.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    println!("spawn, log, refused bind, exit, wait      {:>9.1?} each (plain loop)", median(&mut plain) / CYCLES);
    println!("the same as an incident cycle in lock-step {:>8.1?} each", median(&mut cycle) / CYCLES);
    println!(
        "ratio, median of {ROUNDS} pairs: {ratio:.2} (bound {BOUND:.2}), from {:.2} to {:.2}",
        ratios[0],
        ratios[ratios.len() - 1]
    );
    // A shared machine has its moods: the gate prints the ratio, whoever asks for it gets a verdict.
    if ratio > BOUND && std::env::var_os("RELAPSE_BENCH_STRICT").is_some() {
        std::process::exit(1);
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Spawns the stand-in again and again; each logs, is refused the port, logs and exits.
fn plain_loop() -> Duration {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let holder = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = holder.local_addr().expect("an address").port();
    let lines = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let role = ServerRole {
        name: "uvicorn".into(),
        startup: Span::from_millis(4400),
        startup_cpu: 85,
        log_file: Some(directory.path().join("app.log").to_string_lossy().into_owned()),
        on_start: lines(&["FSM Running session recovery on startup", "FSM Session recovery complete", "started"]),
        on_shutdown: lines(&["FSM shutdown hook ran"]),
        teardown: Span::from_millis(40),
        bind_before_startup: false,
        fd: None,
        exit_on_bind_error: 1,
        sigterm: Sigterm::Defer,
        handlers_after: Span::from_millis(150),
        notice: Span::from_millis(100),
        answer: Span::ZERO,
        answers: Vec::new(),
        reuse_port: false,
        v6_only: true,
        child: false,
        notify: Notify::Nothing,
    };
    let welcome = Welcome {
        now: IncidentTime::from_micros(0),
        pid: 1,
        role: Role::Server(Box::new(role)),
        mapping: Mapping { root: "/nowhere".into(), ..Mapping::default() },
        wall_scale: None,
        hostname: "vm".into(),
        tells_lines: false,
    };
    let welcome = serde_json::to_string(&welcome).expect("JSON");
    let executable = std::env::current_exe().expect("this program");
    let output = std::fs::File::create(directory.path().join("output")).expect("a file");
    let begin = Instant::now();
    for _ in 0..CYCLES {
        let status = Command::new(&executable)
            .arg0("python")
            .args(["-m", "uvicorn", "--host", "0.0.0.0", "--port", &port.to_string()])
            .env(ENV_ALONE, &welcome)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor"))
            .stderr(output.try_clone().expect("a descriptor"))
            .process_group(0)
            .status()
            .expect("the stand-in runs");
        assert_eq!(status.code(), Some(1), "refused");
    }
    begin.elapsed()
}

/// The report's incident, for as many cycles.
fn incident() -> Duration {
    let text = include_str!("../scenarios/incident.md");
    let head = text.split("## The loop").next().expect("the first phases");
    let head = head.replace("pid = 3368901", "pid = 3368901\nbudget = \"10d\"");
    let document = format!(
        "{head}## The loop\n\n```expect\neventually port 8000 owner = [MANUAL]\n{CYCLES}x exit 1 every 14s .. 15s\n```\n"
    );
    let scenario = Scenario::parse("benches/cycle.md", &document).expect("a scenario");
    let begin = Instant::now();
    let outcome = scenario.run(&Options::default()).expect("a run");
    let took = begin.elapsed();
    assert_eq!(outcome.verdict, Verdict::Holds, "{}", relapse::report::text(&outcome, relapse::expect::Style::Plain));
    took
}
