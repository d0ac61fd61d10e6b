//! Who has a port, and who runs, among 2,000 processes: this library against `ss`, `lsof` and `pgrep`, in turns, in one
//! run.
//!
//! Prints ratios; absolute times mean nothing on a shared machine. With RELAPSE_BENCH_STRICT set it ends with 1 if a ratio
//! is over its bound. The bounds are about the library's call; beside it stands what a whole program costs that makes
//! it, from its start to its end, as the others are.

#![expect(clippy::print_stdout, reason = "the ratios are what it is for")]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use relapse::sys::listening::listening;
use relapse::sys::processes::{Proc, Search, owners};

const PROCESSES: usize = 2_000;
const ROUNDS: usize = 7;
/// In the command line of every fourth process.
const PATTERN: &str = "every-fourth";

fn main() {
    relapse::init();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("park") => park(arguments.get(2).is_some_and(|word| word == "listen")),
        Some("count") => println!("{}", count()),
        _ => compare(),
    }
}

/// One of the 2,000: it has a few files open, as programs have, and waits until it is killed.
fn park(listens: bool) {
    // Whoever started it may have died before this.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let _open = (UnixStream::pair(), std::io::pipe(), std::fs::File::open("/dev/null"));
    let listener = listens.then(|| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = listener.as_ref().map_or(0, |listener| listener.local_addr().expect("an address").port());
    println!("{port}");
    std::io::stdout().flush().expect("a pipe");
    // Standard input ends with whoever started it, too.
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// All of them; none outlives this.
struct Crowd {
    children: Vec<(Child, Option<ChildStdin>)>,
}

impl Crowd {
    /// Starts one; the port on which it listens, if it does.
    fn start(&mut self, arguments: &[&str]) -> u16 {
        let executable = std::env::current_exe().expect("this program");
        let mut command = Command::new(executable);
        command.arg("park").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        self.children.push((child, input));
        line.trim().parse().expect("a port")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for (child, _) in &mut self.children {
            let _ = child.kill();
        }
        for (child, _) in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// The library's answer to "who has this port?".
fn lookup(port: u16) -> i32 {
    let (sockets, _) = listening(Some(port)).expect("a kernel");
    let proc = Proc::open().expect("/proc");
    let found = owners(&proc, &sockets, Search::First).expect("/proc").found;
    found.first().expect("somebody has it").1
}

/// The library's answer to "who runs with these words?".
fn count() -> usize {
    let mut count = 0;
    let finder = PATTERN.as_bytes();
    let proc = Proc::open().expect("/proc");
    proc.command_lines(|_, line| count += usize::from(line.windows(finder.len()).any(|part| part == finder)))
        .expect("/proc");
    count
}

fn run(program: &str, arguments: &[&str]) -> (Duration, String) {
    let begin = Instant::now();
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().expect("it runs");
    (begin.elapsed(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("skipped: there is no {program} on this machine");
    }
    there
}

fn compare() {
    let mut crowd = Crowd { children: Vec::with_capacity(PROCESSES) };
    let mut ports = Vec::new();
    for number in 0..PROCESSES {
        let word = if number % 4 == 0 { PATTERN } else { "another" };
        // The holders: the first, one in the middle, the last.
        if [0, PROCESSES / 2, PROCESSES - 1].contains(&number) {
            ports.push((number, crowd.start(&["listen", word])));
        } else {
            crowd.start(&[word, word]);
        }
    }
    let mut fine = true;
    for (number, port) in ports.iter().copied() {
        let pid = i32::try_from(crowd.children[number].0.id()).expect("a PID");
        fine &= port_owner(number, port, pid);
    }
    fine &= listing();
    drop(crowd);
    if !fine && std::env::var_os("RELAPSE_BENCH_STRICT").is_some() {
        std::process::exit(1);
    }
}

/// Runs all of them in turns, the first round uncounted; the times of each.
fn rounds<const N: usize>(mut tries: [&mut dyn FnMut() -> Duration; N]) -> [Vec<Duration>; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=ROUNDS {
        for (times, run) in times.iter_mut().zip(&mut tries) {
            let took = run();
            if round > 0 {
                times.push(took);
            }
        }
    }
    times
}

/// Prints a ratio, the median of the rounds' own; whether it is within its bound.
fn ratio(what: &str, ours: &[Duration], theirs: &[Duration], bound: Option<f64>) -> bool {
    let mut ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let (median, most) = (ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    let bounded = bound.map(|bound| format!(" (bound {bound:.2})")).unwrap_or_default();
    println!("{median:6.2} x  {what}{bounded}, from {:.2} to {most:.2}", ratios[0]);
    bound.is_none_or(|bound| median <= bound)
}

fn port_owner(number: usize, port: u16, pid: i32) -> bool {
    // Only the one in the middle is what the bounds are about; the others show the best and the worst case.
    let bound = |bound| (number == PROCESSES / 2).then_some(bound);
    println!("the owner of a port, process {} of {PROCESSES}:", number + 1);
    let text = port.to_string();
    let mut call = || {
        let begin = Instant::now();
        assert_eq!(black_box(lookup(port)), pid);
        begin.elapsed()
    };
    let mut whole = || {
        let (took, said) = run(env!("CARGO_BIN_EXE_relapse"), &["diagnose", "--holder", "--port", &text]);
        assert!(said.starts_with(&format!("{pid} ")), "{said}");
        took
    };
    let mut fine = true;
    if is_there("ss") {
        let mut ss = || {
            let (took, said) = run("ss", &["-ltnp"]);
            assert!(said.contains(&format!("pid={pid},")), "{said}");
            took
        };
        let [call, whole, ss] = rounds([&mut call, &mut whole, &mut ss]);
        fine &= ratio("the call, to `ss -ltnp`", &call, &ss, bound(0.65));
        ratio("`relapse diagnose --holder --port N`, to `ss -ltnp`", &whole, &ss, None);
    }
    if is_there("lsof") {
        let only = format!("TCP:{port}");
        let mut lsof = || {
            let (took, said) = run("lsof", &["-nP", "-i", &only, "-sTCP:LISTEN", "-t"]);
            assert_eq!(said.trim(), pid.to_string());
            took
        };
        let [call, whole, lsof] = rounds([&mut call, &mut whole, &mut lsof]);
        fine &= ratio("the call, to `lsof -nP -i TCP:N`", &call, &lsof, bound(0.3));
        ratio("`relapse diagnose --holder --port N`, to `lsof -nP -i TCP:N`", &whole, &lsof, None);
    }
    fine
}

fn listing() -> bool {
    println!("who runs with some words in the command line, {PROCESSES} processes:");
    if !is_there("pgrep") {
        return true;
    }
    let expected = PROCESSES / 4;
    let mut call = || {
        let begin = Instant::now();
        assert!(black_box(count()) >= expected);
        begin.elapsed()
    };
    let this = std::env::current_exe().expect("this program");
    let this = this.to_string_lossy().into_owned();
    let mut whole = || {
        let (took, said) = run(&this, &["count"]);
        assert!(said.trim().parse::<usize>().is_ok_and(|count| count >= expected), "{said}");
        took
    };
    let mut pgrep = || {
        let (took, said) = run("pgrep", &["-c", "-f", PATTERN]);
        assert!(said.trim().parse::<usize>().is_ok_and(|count| count >= expected), "{said}");
        took
    };
    let [call, whole, pgrep] = rounds([&mut call, &mut whole, &mut pgrep]);
    let fine = ratio("the call, to `pgrep -f PATTERN`", &call, &pgrep, Some(0.2));
    ratio("a whole program that makes it, to `pgrep -f PATTERN`", &whole, &pgrep, None);
    fine
}
