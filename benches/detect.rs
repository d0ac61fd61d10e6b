//! `relapse detect` over a large log of an application, beside ripgrep on one thread, a bare loop of read(2), and one that also
//! looks for a word: medians of seven runs each, in turn, with the log in the page cache. ripgrep maps a file into its memory,
//! which where the page cache has large folios costs it nearly nothing; `--no-mmap` has it read. RELAPSE_BENCH_MIB sets the log's
//! size (1024). With RELAPSE_BENCH_STRICT set it ends with 1 if one is over its bound.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 7;
const CHUNK: usize = 512 << 10;

/// A log as the incident's application might write it: requests and messages of many kinds, about forty a second, and
/// every 14.5 s a start whose port is taken. Gives the number of starts.
fn make(path: &Path, size: usize) -> std::io::Result<u64> {
    const PATHS: [&str; 6] =
        ["/api/v1/messages", "/api/v1/sessions", "/health", "/webhook/whatsapp", "/api/v1/contacts/search", "/metrics"];
    const STATES: [&str; 5] = ["idle", "waiting", "drafting", "confirming", "closed"];
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut milli, mut next, mut starts) = (0, 0u64, 4_400u64, 0);
    let mut dice = 0x9e37_79b9_7f4a_7c15u64;
    while written < size {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        milli += dice % 50;
        let second = milli / 1000;
        let (day, hour, minute) = (1 + second / 86_400 % 28, second / 3600 % 24, second / 60 % 60);
        let at = format!("2026-01-{day:02} {hour:02}:{minute:02}:{:02},{:03}", second % 60, milli % 1000);
        let (low, high) = (dice & 0xffff, dice >> 40);
        let line = if milli >= next {
            next += 14_500;
            starts += 1;
            let pid = 100_000 + starts * 7;
            format!(
                "INFO:     Started server process [{pid}]\nINFO:     Waiting for application startup.\n\
                 {at} INFO FSM Running session recovery on startup\n{at} INFO FSM Session recovery complete\n\
                 {at} INFO FSM background cleanup task started\nINFO:     Application startup complete.\n\
                 ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use\n\
                 INFO:     Waiting for application shutdown.\nINFO:     Application shutdown complete.\n"
            )
        } else {
            match low % 12 {
                0 => format!(
                    "{at} INFO FSM session {high:06x} moved from {} to {}\n",
                    STATES[low as usize % 5],
                    STATES[high as usize % 5]
                ),
                1 => {
                    format!("{at} WARNING db slow query ({low} ms): SELECT * FROM messages WHERE session_id = {high}\n")
                }
                2 => format!("{at} DEBUG worker-{} job {dice:016x} done in {low} ms, {} left\n", low % 8, high % 90),
                3 => format!("{at} INFO template 'reminder-{}' rendered for contact {high}\n", low % 400),
                _ => format!(
                    "INFO:     10.0.{}.{}:{} - \"GET {}?id={high} HTTP/1.1\" 200 OK\n",
                    low % 256,
                    low >> 8,
                    1024 + high % 60_000,
                    PATHS[high as usize % 6]
                ),
            }
        };
        written += line.len();
        out.write_all(line.as_bytes())?;
    }
    // Or it is written to the disk while it is measured.
    out.into_inner()?.sync_all()?;
    Ok(starts)
}

fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let begin = Instant::now();
    let result = run();
    (begin.elapsed().as_secs_f64(), result)
}

fn read_all(path: &Path, mut look: impl FnMut(&[u8]) -> usize) -> std::io::Result<usize> {
    let (mut file, mut buffer, mut sum) = (File::open(path)?, vec![0; CHUNK + 64], 0);
    // Where the kernel copies to fastest: an allocator's own choice may cost it half as much again.
    let begin = buffer.as_ptr().align_offset(64).min(64);
    let buffer = &mut buffer[begin..begin + CHUNK];
    loop {
        match file.read(buffer)? {
            0 => return Ok(sum),
            length => sum += look(&buffer[..length]),
        }
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The most memory that a program took, in MiB, by the kernel's own count; looked at until it ends.
fn peak(path: &Path) -> Option<f64> {
    let mut child = detect(path).spawn().ok()?;
    let mut most = 0.0f64;
    while child.try_wait().ok()?.is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        most = most.max(kib.unwrap_or(0.0) / 1024.0);
        std::thread::yield_now();
    }
    Some(most)
}

fn detect(path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
    command.args(["detect", "--format", "json"]).arg(path).stdout(Stdio::null());
    command
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mib = std::env::var("RELAPSE_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(1024);
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("app.log");
    let starts = make(&log, mib << 20)?;
    read_all(&log, <[u8]>::len)?;
    let found = detect(&log).stdout(Stdio::piped()).output()?;
    let found: serde_json::Value = serde_json::from_slice(&found.stdout)?;
    let entry = &found["loops"][0];
    println!("{mib} MiB, {starts} starts: found {} of {} ({})", entry["starts"], entry["subject"], entry["signature"]);
    assert_eq!(entry["starts"].as_u64(), Some(starts), "all of them: {found}");

    let grep = |options: &[&str]| {
        let mut grep = Command::new("rg");
        grep.args(options).args(["-j1", "-c", "FSM.*session recovery"]).arg(&log).stdout(Stdio::null());
        grep
    };
    let has_grep = grep(&[]).status().is_ok_and(|status| status.success());
    let word = memchr::memmem::Finder::new("session recovery");
    let [mut ours, mut maps, mut greps, mut reads, mut looks] = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        ours.push(timed(|| detect(&log).status()).0);
        if has_grep {
            maps.push(timed(|| grep(&[]).status()).0);
            greps.push(timed(|| grep(&["--no-mmap"]).status()).0);
        }
        reads.push(timed(|| read_all(&log, <[u8]>::len)).0);
        looks.push(timed(|| read_all(&log, |bytes| word.find_iter(bytes).count())).0);
    }
    let ours = median(&mut ours);
    let mut fine = true;
    let mut within = |value: f64, unit: &str, what: &str, bound: f64| {
        println!("{value:5.2} {unit:3} {what} (bound {bound:.1})");
        fine &= value <= bound;
    };
    if has_grep {
        within(ours / median(&mut maps), "x", "of ripgrep on one thread", 0.5);
        println!("{:5.2} x   of ripgrep on one thread that reads the log as we do", ours / median(&mut greps));
    } else {
        println!("ripgrep is not there: nothing to compare with; `apt-get install ripgrep` has it");
    }
    println!("{:5.2} x   of a read loop that looks for one word", ours / median(&mut looks));
    within(ours / median(&mut reads), "x", "of a bare read loop", 2.0);
    if let Some(peak) = peak(&log) {
        within(peak, "MiB", "at most", 64.0);
    }
    if !fine && std::env::var_os("RELAPSE_BENCH_STRICT").is_some() {
        drop(directory);
        std::process::exit(1);
    }
    Ok(())
}
