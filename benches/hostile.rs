//! Large inputs of every kind, and four times as large: a ratio near 4 is linear, near 16 quadratic. CPU time, so that
//! other load does not count.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;

use relapse::Scenario;
use relapse::control::{Decoder, Note, ToRun, encode};
use relapse::expect::parse;
use relapse::journal::{Format, Journal, Record, Style};
use relapse::manager::{Config, Exit, JobMode, JobVerb, Request};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{Files, Profile, Unit, load, parse_environment_file};
use relapse::world::{Act, Launch, Program, World};

const BOOT: IncidentTime = IncidentTime::from_micros(1_768_521_600_000_000);

/// Nanoseconds that this program has been on a CPU so far.
fn spent() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("a kernel with scheduler statistics");
    text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// What four times the size costs over the size.
fn ratio(name: &str, size: usize, run: &dyn Fn(usize)) {
    // The kernel counts in ticks: each figure is the mean of as many runs as take some of them.
    let mean = |size| {
        let (begin, mut runs) = (spent(), 0);
        loop {
            run(size);
            runs += 1;
            let took = spent() - begin;
            if took > 200_000_000 {
                return took as f64 / f64::from(runs);
            }
        }
    };
    let (small, large): (f64, f64) = (mean(size), mean(4 * size));
    println!("{:5.1} x  {name}", large / small);
}

fn lines(size: usize, line: impl Fn(usize) -> String) -> String {
    (0..size).map(line).collect()
}

fn service(text: &str) {
    let unit = Unit::parse("x.service", format!("[Service]\nType=oneshot\nExecStart=/x\n{text}"), Profile::V252);
    black_box((unit.properties(), unit.to_text()));
}

fn units() {
    ratio("ExecStart= lines", 25_000, &|n| service(&"ExecStart=/bin/true a \"b c\"\n".repeat(n)));
    ratio("Environment= lines", 25_000, &|n| service(&lines(n, |i| format!("Environment=A{i}=1\n"))));
    ratio("words of one Environment=", 25_000, &|n| {
        service(&format!("Environment={}\n", lines(n, |i| format!("A{i}=1 "))))
    });
    ratio("After= lines", 25_000, &|n| service(&format!("[Unit]\n{}", lines(n, |i| format!("After=a{i}.service\n")))));
    ratio("one long line", 200_000, &|n| service(&format!("ExecStart=/x {}\n", "\\x41%n'$A' ".repeat(n / 10))));
    ratio("an environment file", 50_000, &|n| {
        drop(black_box(parse_environment_file(lines(n, |i| format!("A{i}='b'\n")).as_bytes())))
    });
    ratio("drop-ins", 5_000, &|n| {
        let mut files = Files::default();
        files.insert("/etc/systemd/system/x.service", "[Service]\nExecStart=/x\n");
        for i in 0..n {
            files.insert(format!("/etc/systemd/system/x.service.d/{i}.conf"), format!("[Unit]\nAfter=a{i}.service\n"));
        }
        black_box(load(&files, "x.service", Profile::V252));
    });
}

/// Starts, restarts, reloads and stops the first of many units, which refer to each other.
fn family(size: usize, lines: &dyn Fn(usize) -> String) {
    let mut files = Files::default();
    for i in 0..size {
        files.insert(
            format!("/etc/systemd/system/u{i}.service"),
            format!("[Unit]\n{}\n[Service]\nExecStart=/x\n", lines(i)),
        );
    }
    let launcher = |_: &_, _: &mut _| Launch::Runs(Program::new("x", vec![Act::Serve]));
    let config = Config { profile: Profile::V252, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
    let mut world = World::new(config, files, Box::new(launcher));
    world.boot();
    let unit = || "u0.service".to_owned();
    for request in [
        Request::Job { verb: JobVerb::Start, unit: unit(), mode: JobMode::default() },
        Request::Job { verb: JobVerb::Restart, unit: unit(), mode: JobMode::default() },
        Request::DaemonReload,
        Request::Job { verb: JobVerb::Stop, unit: unit(), mode: JobMode::default() },
    ] {
        world.request(request);
        world.run_for(Span::from_secs(1));
    }
    black_box((world.manager().units(), world.take_happened()));
}

fn managers() {
    ratio("a chain of Requires= and After=", 500, &|n| {
        family(n, &|i| format!("Requires=u{0}.service\nAfter=u{0}.service", i + 1))
    });
    ratio("a circle of Requires=", 500, &|n| family(n, &|i| format!("Requires=u{}.service", (i + 1) % n)));
    ratio("a circle of Wants= and After=", 500, &|n| {
        family(n, &|i| format!("Wants=u{0}.service\nAfter=u{0}.service", (i + 1) % n))
    });
    ratio("a unit that wants all", 500, &|n| {
        family(n, &|i| {
            if i == 0 { lines(n, |k| format!("Wants=u{k}.service\nAfter=u{k}.service\n")) } else { String::new() }
        });
    });
    ratio("a oneshot of many commands", 2_500, &|n| {
        let mut files = Files::default();
        files.insert(
            "/etc/systemd/system/u.service",
            format!("[Service]\nType=oneshot\n{}", "ExecStart=/x\n".repeat(n)),
        );
        let launcher = |_: &_, _: &mut _| Launch::Runs(Program::new("x", vec![Act::End(Exit::Code(0))]));
        let config = Config { profile: Profile::V252, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
        let mut world = World::new(config, files, Box::new(launcher));
        world.boot();
        world.request(Request::Job { verb: JobVerb::Start, unit: "u.service".into(), mode: JobMode::default() });
        world.run_for(Span::from_secs(1));
        black_box(world.properties("u.service"));
    });
}

fn documents() {
    ratio("journal fields", 5_000, &|n| {
        let text = format!("{{\"__REALTIME_TIMESTAMP\":\"1\"{}}}", lines(n, |i| format!(",\"F{i}\":\"x\"")));
        let mut journal = Journal::new("0");
        journal.append(Record::from_json(&text).expect("a record"));
        let mut out = Vec::new();
        journal.entries().for_each(|entry| Style::new(Format::Json, 257).write(&mut out, &entry, None));
        black_box(out);
    });
    ratio("journal records", 10_000, &|n| {
        let mut journal = Journal::new("0").with_limit(1 << 20);
        for i in 0..n {
            let record = Record::new(BOOT + Span::from_micros(i as u64), BOOT);
            journal.append(record.with("MESSAGE", "x").with("_BOOT_ID", format!("{i:032}")));
        }
        black_box(journal.boots());
    });
    ratio("claims", 10_000, &|n| {
        let text = "never log \"x\" for 1min\n".repeat(n);
        black_box(parse(&text, 0..text.len()).expect("claims"));
    });
    for (name, block) in
        [("expect", "```expect\nnever exit 0 for 1min\n```\n\n"), ("console", "```console\n$ true\nx [A]\n```\n\n")]
    {
        ratio(&format!("{name} blocks"), 1_000, &|n| {
            let head = "# T\n\n```toml scenario\nkind = \"behaviour\"\n```\n\n```ini unit=a.service\n[Service]\nExecStart=/x\n```\n\n";
            let text = format!("{head}{}", block.repeat(n));
            black_box(Scenario::parse("t.md", &text).map_err(|error| error.to_string()).ok());
        });
    }
    ratio("frames that come in pieces", 20_000, &|n| {
        let note = Note::Log { path: "/x".into(), line: "y".into() };
        let bytes = encode(&ToRun::Note { note, written: 1, at: 0 }).expect("a frame").repeat(n);
        let mut decoder = Decoder::default();
        for chunk in bytes.chunks(7) {
            decoder.push(chunk);
            while let Ok(Some(message)) = decoder.take::<ToRun>() {
                black_box(message);
            }
        }
    });
}

fn main() {
    units();
    managers();
    documents();
}
